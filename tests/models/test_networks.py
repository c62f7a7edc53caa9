"""The group `model`: encoders by name and path, layer normalisation, widths, a critic that sees more."""

import pytest
import torch

from rlexp.algos import PPO
from rlexp.algos.base import Inputs
from rlexp.data.network import Network
from rlexp.data.spaces import ActionSpec, ImageSpec, ObservationSpec, SpaceSpec
from rlexp.envs import check_environment
from rlexp.errors import ConfigError
from rlexp.models.acting import FastActor
from rlexp.run.trial import check_network
from tests.helpers import composed
from tests.models.test_policy import GRID, IMAGE, MIXED, VECTOR, perturb, rows_of

ACTION = ActionSpec("discrete", (4,), (), (0,), (), ())


def built(observation, network, **settings):
    torch.manual_seed(0)
    inputs = Inputs(normalize=False, clip=None, bounds="clip", network=network)
    return PPO(hidden_sizes=[8], **settings).build(SpaceSpec(observation, ACTION), inputs)


@pytest.mark.parametrize(
    ("observation", "network", "features"),
    [
        (IMAGE, Network("nature_cnn"), 64),  # 40 x 36: 9 x 8, 3 x 3, 1 x 1
        (IMAGE, Network("impala_cnn"), 32 * 5 * 5),
        (IMAGE, Network("impala_cnn", {"channels": [4]}), 4 * 20 * 18),
        (GRID, Network("symbols"), 4 + 64 * 4 * 3),
        (GRID, Network("symbols", {"embedding": 5, "channels": [7]}), 4 + 7 * 7 * 6),
        (MIXED, Network("tests.own:Sums", {"width": 5}), 15),
    ],
)
def test_an_encoder_makes_features_that_learn(observation, network, features):
    agent = built(observation, network)
    assert agent.actor.torso.encoder.features == agent.critic.torso.encoder.features == features
    assert agent.actor.torso.linears()[0].in_features == features
    found = agent(rows_of(observation), torch.zeros(6, dtype=torch.int64))
    (found.values.sum() + found.log_prob.sum()).backward()
    for name, parameter in agent.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or "head" in name or "table" in name, name


@pytest.mark.parametrize("network", [Network(layer_norm=True), Network("tests.own:Sums"), Network(layer_norm=False)])
def test_a_player_acts_as_the_network_says(network):
    agent = perturb(built(VECTOR, network))
    rows = rows_of(VECTOR)
    with torch.inference_mode():
        assert FastActor(agent.actor, 6).greedy(rows.numpy()).tolist() == agent.actor(rows).argmax(-1).tolist()


def test_layer_normalisation_stands_before_each_activation():
    agent = perturb(built(VECTOR, Network(layer_norm=True)))
    torso, rows = agent.actor.torso, rows_of(VECTOR)
    (layer,), (norm,) = torso.linears(), torso.norms
    hidden = layer(rows)
    scaled = (hidden - hidden.mean(-1, keepdim=True)) / (hidden.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(torso(rows, []), (scaled * norm.weight + norm.bias).tanh(), atol=1e-6)


def test_actor_and_critic_have_widths_of_their_own():
    agent = built(VECTOR, Network(actor_hidden_sizes=(5, 3), critic_hidden_sizes=(32,)))
    assert [layer.out_features for layer in agent.actor.torso.linears()] == [5, 3]
    assert [layer.out_features for layer in agent.critic.torso.linears()] == [32]


HIDDEN = ObservationSpec(
    5, (3, 2), (ImageSpec("eye", 1, 8, 8), ImageSpec("map", 1, 6, 6)),
    number_parts=(("joints", 2), ("truth.friction", 3)), choice_parts=(("room", 1), ("truth.goal", 1)),
)  # fmt: skip


def test_what_is_for_the_critic_alone_reaches_no_actor():
    agent = perturb(built(HIDDEN, Network(critic_keys=("truth", "map"))))
    assert agent.actor.torso.encoder.vector_features == 2 + 3
    assert [image.name for image in agent.actor.torso.encoder.spec.images] == ["eye"]
    assert [image.name for image in agent.critic.torso.encoder.spec.images] == ["eye", "map"]
    rows = rows_of(HIDDEN)
    changed = rows.clone()
    floats = changed[:, : 4 * HIDDEN.floats].view(torch.float32)
    floats[:, 2:5] += 1.0
    floats[:, 6] = 1 - floats[:, 6]
    start = 4 * HIDDEN.floats + 64
    changed[:, start : start + 36] = 255 - changed[:, start : start + 36]
    assert torch.equal(agent.actor(rows), agent.actor(changed))
    assert not torch.isclose(agent.values(rows), agent.values(changed)).any()
    changed[:, 4 * HIDDEN.floats] += 100
    assert not torch.equal(agent.actor(rows), agent.actor(changed))


def test_the_fast_actor_of_an_asymmetric_agent_sees_its_own_part():
    spec = ObservationSpec(4, (), (), number_parts=(("seen", 3), ("truth", 1)))
    agent = perturb(built(spec, Network(critic_keys=("truth",))))
    rows = rows_of(spec)
    with torch.inference_mode():
        acting = FastActor(agent.actor, 6)
        assert acting.greedy(rows.numpy()).tolist() == agent.actor(rows).argmax(-1).tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model=nature_cnn",), "model=nature_cnn needs an image, but the observation is: vector of 4"),
        (("model=impala_cnn",), "model=impala_cnn needs an image"),
        (("model=symbols",), "model=symbols needs a grid of symbols"),
        (("model=custom", "model.path=tests.own:Doubled"), "is the class Doubled, but a class derived from"),
        (("model=custom", "model.path=tests.own:Sum"), "tests.own has no Sum; did you mean tests.own:Sums?"),
        (("model=custom", "model.path=tests.own:Unfit"), "model=custom"),
        (("model=custom", "model.path=tests.own:Sums", "+model.kwargs.wide=3"), "unexpected keyword argument 'wide'"),
        (("model.critic_keys=[truth]",), "but the parts of the observation are: obs"),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_is_refused_before_the_launch(words, said):
    config = composed("env=cartpole", *words)
    with pytest.raises(ConfigError) as error:
        check_network(config, check_environment(config))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model.path=a:B",), "write model=custom model.path=package.module:Class"),
        (("model=custom", "model.path=a.b"), "is no path; write package.module:Class"),
        (("model.name=resnet",), "model: resnet is not known"),
        (("model.critic_keys=[a]", "algo.shared_torso=true"), "give algo.shared_torso=false"),
        (("model.actor_hidden_sizes=[]",), "model.actor_hidden_sizes=[] is empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(words, said):
    with pytest.raises(ConfigError) as error:
        composed("env=cartpole", *words)
    assert said in str(error.value)


def test_the_layers_of_each_convolutional_network_are_the_published_ones():
    def shapes(network, observation):
        encoder = built(observation, Network(network)).actor.torso.encoder
        convolutions = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.Conv2d)]
        return [(layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0]) for layer in convolutions]

    nature = [(32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)]
    assert shapes("nature_cnn", IMAGE) == shapes("mlp", IMAGE) == nature
    assert shapes("mlp", MIXED) == [(16, 3, 1, 1), (32, 3, 2, 1)] * 2


@pytest.mark.parametrize("bounds", ["clip", "tanh"])
def test_several_real_actions_are_brought_within_their_own_bounds(bounds):
    spec = SpaceSpec(VECTOR, ActionSpec("box", (), (2,), (), (-2.0, 1.0), (2.0, 5.0)))
    actor = PPO(hidden_sizes=[4]).build(spec, Inputs(normalize=False, clip=None, bounds=bounds)).actor
    taken = actor.to_environment(torch.tensor([[-50.0, -50.0], [50.0, 50.0], [0.5, 3.5]]))
    assert taken[:2].tolist() == [[-2.0, 1.0], [2.0, 5.0]]
    half = torch.tensor([0.5, 3.5]).tanh()
    expected = (
        torch.tensor([0.0, 3.0]) + half * torch.tensor([2.0, 2.0]) if bounds == "tanh" else torch.tensor([0.5, 3.5])
    )
    assert torch.allclose(taken[2], expected)
    assert not {"low", "high"} & actor.state_dict().keys()
