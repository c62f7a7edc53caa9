"""What users of other libraries type, in the form in which they type it, and what rlexp answers.

The rows come from the documentation and the argument parsers of Stable-Baselines3, rl-baselines3-zoo, CleanRL, SheepRL,
Lightning, lightning-hydra-template, RLlib, Tianshou, rl_games, Isaac Lab and Spinning Up.
"""

import dataclasses
import importlib
import re
import shlex
import sys

import gymnasium
import pytest
from hydra import compose, initialize_config_dir

from rlexp.algos import ALGORITHMS
from rlexp.command.advice import ADVICE
from rlexp.command.arguments import find_modules_here, read, training
from rlexp.command.elsewhere import ELSEWHERE
from rlexp.command.synonyms import CONVERTED, RENAMED
from rlexp.command.synonyms_replay import RENAMED_REPLAY
from rlexp.command.values import CONVERSIONS, SUITES, VALUES
from rlexp.config.compose import register, typed
from rlexp.config.explain import surplus_keys
from rlexp.config.hydra_plugins import PLUGINS, missing
from rlexp.config.places import conf_dir
from rlexp.envs.packages import PACKAGES
from rlexp.envs.unknown import nearest, unregistered
from rlexp.errors import ConfigError
from rlexp.evaluate import parse
from rlexp.settings import check

register()

TRAINING = """
lr=3e-4                                 -> algo.learning_rate=3e-4
algo.lr=3e-4                            -> algo.learning_rate=3e-4
learning_rate=3e-4                      -> algo.learning_rate=3e-4
model.lr=1e-4                           -> algo.learning_rate=1e-4
algo.optimizer.lr=1e-3                  -> algo.learning_rate=1e-3
train.lr=3e-4                           -> algo.learning_rate=3e-4
--learning-rate 2.5e-4                  -> algo.learning_rate=2.5e-4
--lr=3e-4                               -> algo.learning_rate=3e-4
agent.actor.lr=1e-3                     -> algo.learning_rate=1e-3
n_steps=128                             -> algo.num_steps=128
num_steps=128                           -> algo.num_steps=128
--num-steps 128                         -> algo.num_steps=128
algo.rollout_steps=128                  -> algo.num_steps=128
rollout_steps=128                       -> algo.num_steps=128
horizon=2048                            -> algo.num_steps=2048
rollout_fragment_length=200             -> algo.num_steps=200
batch_size=64                           -> algo.per_rank_batch_size=64
minibatch_size=64                       -> algo.per_rank_batch_size=64
algo.mini_batch_size=64                 -> algo.per_rank_batch_size=64
sgd_minibatch_size=64                   -> algo.per_rank_batch_size=64
datamodule.batch_size=64                -> algo.per_rank_batch_size=64
data.batch_size=64                      -> algo.per_rank_batch_size=64
train_batch_size=4000                   -> algo.num_steps=1000 (4000 steps / env.num_envs=4)
num_minibatches=4                       -> algo.num_minibatches=4
--num-minibatches 4                     -> algo.num_minibatches=4
per_rank_num_batches=4                  -> algo.num_minibatches=4
n_epochs=10                             -> algo.update_epochs=10
num_epochs=10                           -> algo.update_epochs=10
--update-epochs 4                       -> algo.update_epochs=4
num_sgd_iter=10                         -> algo.update_epochs=10
gamma=0.99                              -> algo.gamma=0.99
--gamma 0.99                            -> algo.gamma=0.99
discount=0.99                           -> algo.gamma=0.99
gae_lambda=0.95                         -> algo.gae_lambda=0.95
lam=0.95                                -> algo.gae_lambda=0.95
clip_range=0.2                          -> algo.clip_coef=0.2
clip_param=0.2                          -> algo.clip_coef=0.2
--clip-coef 0.2                         -> algo.clip_coef=0.2
clip_range_vf=0.2                       -> algo.clip_vloss=true (with the range of algo.clip_coef=0.2)
clip_range_vf=null                      -> algo.clip_vloss=false
ent_coef=0.01                           -> algo.ent_coef=0.01
--ent-coef 0.01                         -> algo.ent_coef=0.01
entropy_coeff=0.01                      -> algo.ent_coef=0.01
vf_coef=0.5                             -> algo.vf_coef=0.5
value_loss_coef=0.5                     -> algo.vf_coef=0.5
max_grad_norm=0.5                       -> algo.max_grad_norm=0.5
gradient_clip_val=0.5                   -> algo.max_grad_norm=0.5
trainer.gradient_clip_val=0.5           -> algo.max_grad_norm=0.5
+trainer.gradient_clip_val=0.5          -> algo.max_grad_norm=0.5
target_kl=0.01                          -> algo.target_kl=0.01
--norm-adv                              -> algo.normalize_advantages=true
normalize_advantage=true                -> algo.normalize_advantages=true
--anneal-lr                             -> algo.anneal_lr=true
--no-anneal-lr                          -> algo.anneal_lr=false
--no-norm-adv                           -> algo.normalize_advantages=false
--clip-vloss                            -> algo.clip_vloss=true
--no-clip-vloss                         -> algo.clip_vloss=false
lr_schedule=linear                      -> algo.anneal_lr=true
use_sde=true                            -> says: state-dependent exploration
policy_kwargs=dict(net_arch=[64,64])    -> 'algo.hidden_sizes=[64,64]'
net_arch=[256,256]                      -> 'algo.hidden_sizes=[256,256]'
algo.dense_units=64                     -> 'algo.hidden_sizes=[64,64]'
algo.mlp_layers=2                       -> says: networks follow from the spaces
algo.dense_act=torch.nn.Tanh            -> algo.activation_function=tanh
activation_fn=relu                      -> algo.activation_function=relu
policy=MlpPolicy                        -> says: networks follow from the spaces
features_extractor_class=NatureCNN      -> says: networks follow from the spaces
algo.layer_norm=true                    -> says: it is not there
algo.gae_method=log_scan                -> says: it is not there
algo.anneal_ent_coef=true               -> says: it is not there
algo.loss_reduction=mean                -> says: it is not there
env=CartPole-v1                         -> taken as env=gym env.id=CartPole-v1
env=ALE/Pong-v5                         -> taken as env=gym env.id=ALE/Pong-v5
env=mypackage:MyEnv-v0                  -> taken as env=gym env.id=mypackage:MyEnv-v0
--env CartPole-v1                       -> env.id=CartPole-v1
--env-id CartPole-v1                    -> env.id=CartPole-v1
--env_id=CartPole-v1                    -> env.id=CartPole-v1
--gym-id CartPole-v1                    -> env.id=CartPole-v1
env_name=CartPole-v1                    -> env.id=CartPole-v1
task=Isaac-Ant-v0                       -> env.id=Isaac-Ant-v0
env_id=CartPole-v1                      -> env.id=CartPole-v1
gym_id=CartPole-v1                      -> env.id=CartPole-v1
CartPole-v1                             -> env.id=CartPole-v1
ppo                                     -> algo=ppo
algo.name=ppo                           -> algo=ppo
ppo --env_id CartPole-v1 --num_envs 8   -> algo=ppo; env.id=CartPole-v1; env.num_envs=8
env=atari                               -> taken
env=dm_control                          -> env=dmc
env=mujoco                              -> taken
env=gym                                 -> taken
env=cartpole                            -> taken
env=CartPole                            -> env=cartpole
env=cartpole-v1                         -> taken as env=gym env.id=cartpole-v1
env.wrapper=x                           -> says: wrappers are listed
env.sync_env=true                       -> env.vectorization=sync
env.sync_env=false                      -> env.vectorization=async
env.capture_video=true                  -> capture_video=true
env.capture_video=false                 -> capture_video=false
env.screen_size=64                      -> says: wrappers are listed
env.grayscale=true                      -> says: wrappers are listed
env.frame_stack_dilation=2              -> says: wrappers are listed
env.actions_as_observation.num_stack=4  -> says: wrappers are listed
env.reward_as_observation=true          -> says: wrappers are listed
env.clip_rewards=true                   -> env.clip_rewards=1
env.clip_rewards=false                  -> env.clip_rewards=null
n_envs=8                                -> env.num_envs=8
num_envs=8                              -> env.num_envs=8
--num-envs 8                            -> env.num_envs=8
--n-envs 8                              -> env.num_envs=8
--vec-env subproc                       -> env.vectorization=async
--vec-env dummy                         -> env.vectorization=sync
vec_env_cls=SubprocVecEnv               -> env.vectorization=async
--env-kwargs gravity:3 wind:2           -> +env.kwargs.gravity=3 +env.kwargs.wind=2
env_kwargs={gravity:3}                  -> +env.kwargs.gravity=3
frame_stack=4                           -> env.frame_stack=4
frame_skip=4                            -> env.action_repeat=4
normalize=true                          -> env.normalize_observations=true env.normalize_rewards=true
norm_obs=true                           -> env.normalize_observations=true
norm_reward=true                        -> env.normalize_rewards=true
env_wrapper=x                           -> says: wrappers are listed
seed=3                                  -> taken
--seed 3                                -> seed=3
seed 3                                  -> seed=3
--seed=3                                -> seed=3
seed_everything=3                       -> seed=3
random_seed=3                           -> seed=3
n_seeds=5                               -> --multirun seed=0,1,2,3,4
total_steps=1e6                         -> total_timesteps=1000000
total_steps=1000000                     -> total_timesteps=1000000
total_timesteps=1e6                     -> total_timesteps=1000000
--total-timesteps 500000                -> total_timesteps=500000
--n-timesteps 100000                    -> total_timesteps=100000
-n 1000                                 -> total_timesteps=1000
algo.total_steps=65536                  -> total_timesteps=65536
n_timesteps=1e5                         -> total_timesteps=100000
num_timesteps=1M                        -> total_timesteps=1000000
max_steps=1000                          -> total_timesteps=1000
trainer.max_steps=1000                  -> total_timesteps=1000
trainer.max_epochs=10 -> total_timesteps=5120 (10 updates of env.num_envs=4 x algo.num_steps=128 steps)
trainer.min_epochs=1                    -> says: lightning-hydra-template
max_iterations=100 -> total_timesteps=51200 (100 updates of env.num_envs=4 x algo.num_steps=128 steps)
num_iterations=100 -> total_timesteps=51200 (100 updates of env.num_envs=4 x algo.num_steps=128 steps)
episodes=100                            -> says: measured in environment steps: total
cuda=true                               -> accelerator=cuda
--cuda                                  -> accelerator=cuda
--cuda True                             -> accelerator=cuda
--cuda False                            -> accelerator=cpu
--no-cuda                               -> accelerator=cpu
device=cuda                             -> accelerator=cuda
device=cpu                              -> accelerator=cpu
device=cuda:1                           -> accelerator=cuda (and CUDA_VISIBLE_DEVICES=1 before the command)
--device cuda                           -> accelerator=cuda
--gpu 0                                 -> accelerator=cuda (and CUDA_VISIBLE_DEVICES=0 before the command)
accelerator=gpu                         -> accelerator=cuda
accelerator=mps                         -> accelerator=cpu (or accelerator=cuda)
accelerator=auto                        -> accelerator=cuda (where there is a GPU; the default is accelerator=cpu)
accelerator=cuda:0                      -> accelerator=cuda
trainer.accelerator=gpu                 -> accelerator=cuda
fabric.accelerator=gpu                  -> accelerator=cuda
fabric.accelerator=auto                 -> accelerator=cuda (where there is a GPU; the default is accelerator=cpu)
fabric.devices=auto                     -> fabric.devices=1 (or more: the number of ranks)
fabric.devices=-1                       -> fabric.devices=1 (or more: the number of ranks)
fabric.devices=[0,1]                    -> fabric.devices=2
--devices 2                             -> fabric.devices=2
--accelerator=cpu                       -> accelerator=cpu
trainer=gpu                             -> accelerator=cuda
trainer=ddp                             -> fabric.devices=2 strategy=ddp
trainer=cpu                             -> accelerator=cpu
trainer=mps                             -> accelerator=cpu
trainer=ddp_sim                         -> fabric.devices=2 strategy=ddp
trainer.devices=4                       -> fabric.devices=4
trainer.gpus=1                          -> accelerator=cuda fabric.devices=1
trainer.gpus=0                          -> accelerator=cpu
gpus=2                                  -> accelerator=cuda fabric.devices=2
num_gpus=1                              -> accelerator=cuda fabric.devices=1
fabric.strategy=ddp_spawn               -> strategy=ddp
strategy=ddp_spawn                      -> strategy=ddp
strategy=fsdp                           -> strategy=ddp
strategy=ddp_find_unused_parameters_true -> strategy=ddp
fabric.strategy=auto                    -> taken
fabric.precision=16                     -> fabric.precision=16-mixed
fabric.precision=bf16                   -> fabric.precision=bf16-mixed
trainer.precision=16                    -> fabric.precision=16-mixed
precision=16-mixed                      -> fabric.precision=16-mixed
amp=true                                -> fabric.precision=bf16-mixed
num_nodes=2                             -> fabric.num_nodes=2
num_threads=4                           -> fabric.threads_per_rank=4
--num-threads 4                         -> fabric.threads_per_rank=4
--n-jobs 4                              -> --multirun hydra/launcher=joblib hydra.launcher.n_jobs=4
torch_deterministic=false               -> taken
--torch-deterministic False             -> torch_deterministic=false
--no-torch-deterministic                -> torch_deterministic=false
cudnn_deterministic=true                -> torch_deterministic=true
capture_video=true                      -> taken
--capture-video                         -> capture_video=true
--no-capture-video                      -> capture_video=false
--capture_video True                    -> capture_video=true
video=true                              -> capture_video=true
record_video=true                       -> capture_video=true
--video                                 -> capture_video=true
video_freq=1000                         -> video.every=1000 capture_video=true
--video_interval 2000                   -> video.every=2000 capture_video=true
--video_length 200                      -> video.max_steps=200 capture_video=true
record_video_interval=2000              -> video.every=2000 capture_video=true
render_mode=human                       -> says: no windows to open
--headless                              -> says: no windows to open
ckpt_path=x                             -> resume=x
load=x                                  -> resume=x
resume_from=x                           -> resume=x
checkpoint.resume_from=x/ckpt_1.ckpt    -> resume=x/ckpt_1.ckpt
trainer.resume_from_checkpoint=x.ckpt   -> resume=x.ckpt
+trainer.resume_from_checkpoint=x.ckpt  -> resume=x.ckpt
--trained-agent logs/x.zip              -> resume=logs/x.zip
-i logs/x.zip                           -> resume=logs/x.zip
--resume                                -> resume=RUN_DIRECTORY
--resume=x                              -> resume=x
--checkpoint x                          -> resume=x
--load_run x                            -> resume=x
checkpoint=x                            -> resume=x
checkpoint.every=1000                   -> taken
checkpoint.keep_last=5                  -> checkpoint.keep=5
checkpoint.save_last=true               -> says: checkpoints are always written
save_freq=1000                          -> checkpoint.every=1000
--save-freq 1000                        -> checkpoint.every=1000
save_interval=100                       -> checkpoint.every=100
eval_freq=1000                          -> eval.every=1000
--eval-freq 1000                        -> eval.every=1000
n_eval_episodes=5                       -> eval.episodes=5
--eval-episodes 10                      -> eval.episodes=10
--n-eval-envs 4                         -> says: side by side
algo.run_test=true                      -> eval.episodes=10
algo.run_test=false                     -> eval.episodes=0
eval_episodes=10                        -> eval.episodes=10
output_dir=x                            -> hydra.run.dir=x
logdir=x                                -> hydra.run.dir=x
log_dir=x                               -> hydra.run.dir=x
-f logs                                 -> hydra.run.dir=logs
--log-folder logs                       -> hydra.run.dir=logs
root_dir=x                              -> hydra.run.dir=x
run_name=x                              -> hydra.run.dir=outputs/runs/x
exp_name=x                              -> hydra.run.dir=outputs/runs/x
--exp-name myrun                        -> hydra.run.dir=outputs/runs/myrun
experiment_name=x                       -> hydra.run.dir=outputs/runs/x
tensorboard_log=x                       -> hydra.run.dir=x
-tb x                                   -> says: metrics.csv
--tensorboard-log x                     -> hydra.run.dir=x
paths.output_dir=x                      -> hydra.run.dir=x
exp=ppo                                 -> algo=ppo
exp=a2c                                 -> algo=a2c
exp=ppo_decoupled                       -> algo=ppo topology=decoupled fabric.devices=2
exp=sac                                 -> algo=sac
exp=dreamer_v3                          -> says: algorithms here: algo=a2c, algo=dqn, algo=ppo, algo=sac, algo=td3
exp=ppo_recurrent                       -> algo=ppo model=lstm
experiment=example                      -> taken
experiment=ppo                          -> algo=ppo
algo=PPO                                -> algo=ppo
algo=ppo_decoupled                      -> algo=ppo topology=decoupled fabric.devices=2
algo=sac                                -> taken
algo=ppo_recurrent                      -> algo=ppo model=lstm
--algo ppo                              -> algo=ppo
--algo ppo --env CartPole-v1            -> algo=ppo; env.id=CartPole-v1
--env CartPole-v1 --algo ppo            -> env.id=CartPole-v1; algo=ppo
--algo sac                              -> algo=sac
--algo ppo_lstm                         -> algo=ppo model=lstm
--algo ppo_mask                         -> algo=ppo (action masks are used where the environment gives them)
agent=ppo                               -> algo=ppo
track=true                              -> logger=[csv,tensorboard,wandb]
--track                                 -> logger=[csv,tensorboard,wandb]
wandb=true                              -> logger=[csv,tensorboard,wandb]
--wandb-project-name x                  -> logger=wandb logger.wandb.project=x
--wandb-entity x                        -> logger=wandb logger.wandb.entity=x
wandb_mode=offline                      -> logger=wandb logger.wandb.offline=true
mlflow_tracking_uri=http://x:5000       -> logger=mlflow logger.mlflow.tracking_uri=http://x:5000
loggers=wandb                           -> says: metrics.csv
metric.log_level=0                      -> says: metrics.csv
metric.log_every=5000                   -> says: every update is logged
metric.logger=tensorboard               -> says: metrics.csv
log_interval=1                          -> says: every update is logged
verbose=1                               -> says: progress bar
--progress                              -> says: progress bar
-P                                      -> says: progress bar
--verbose 0                             -> says: progress bar
buffer.share_data=true                  -> topology.share_data=true
dry_run=true                            -> total_timesteps=1024
debug=true                              -> says: main.log
debug=default                           -> says: main.log
fast_dev_run=true                       -> total_timesteps=1024
test=false                              -> eval.episodes=0
train=false                             -> says: the command trains
task_name=x                             -> hydra.run.dir=outputs/runs/x
tags=[a,b]                              -> says: metrics.csv
callbacks=default                       -> taken
hparams_search=mnist_optuna             -> says: a search of settings: --multirun search=ppo
-params learning_rate:0.01 n_steps:64   -> algo.learning_rate=0.01, algo.num_steps=64
--hyperparams learning_rate:0.01        -> algo.learning_rate=0.01
-conf x.yml                             -> says: conf/experiment/NAME.yaml
--conf-file x.yml                       -> says: conf/experiment/NAME.yaml
-optimize                               -> says: a search of settings: --multirun search=ppo
--n-trials 100                          -> says: a search of settings: --multirun search=ppo
--sampler tpe                           -> says: a search of settings: --multirun search=ppo
--pruner median                         -> says: a search of settings: --multirun search=ppo
--study-name x                          -> says: a search of settings: --multirun search=ppo
--uuid                                  -> says: it is not there
--gym-packages x                        -> says: wrappers are listed
stats_window_size=100                   -> says: it is not there
target_kl=null                          -> algo.target_kl=null
cnn_keys.encoder=[rgb]                  -> says: networks follow from the spaces
algo.mlp_keys.encoder=[state]           -> says: networks follow from the spaces
algo.cnn_keys.encoder=[rgb]             -> says: networks follow from the spaces
num_workers=4                           -> env.num_envs=4
env_runners=4                           -> env.num_envs=4
num_env_runners=4                       -> env.num_envs=4
framework=torch                         -> says: it is not there
model.fcnet_hiddens=[256,256]           -> 'algo.hidden_sizes=[256,256]'
--multirun lr=1e-3,3e-4                 -> algo.learning_rate=1e-3,3e-4
-m model.lr=0.001,0.0005                -> algo.learning_rate=0.001,0.0005
--multirun algo=PPO,A2C                 -> algo=ppo,a2c
--multirun accelerator=gpu,cpu          -> accelerator=cuda,cpu
--multirun total_timesteps=1e5,1e6      -> total_timesteps=100000,1000000
--multirun total_steps=1e5,1e6          -> total_timesteps=100000,1000000
--multirun seed=1,2,3                   -> taken
--multirun algo=ppo,sac                 -> taken
--multirun algo=dqn,c51 algo.tau=0.5    -> taken as --multirun algo=dqn,c51 'algo.tau=choice(0.5)'
--multirun algo=dqn,sac algo.hidden_sizes=[8] -> taken as --multirun algo=dqn,sac 'algo.hidden_sizes=choice([8])'
total_timesteps=1,000,000               -> total_timesteps=1000000
cpu=4                                   -> fabric.devices=4
--cpu 4                                 -> fabric.devices=4
--steps 4000                            -> total_timesteps=4000
--epochs 50 -> total_timesteps=25600 (50 updates of env.num_envs=4 x algo.num_steps=128 steps)
hid=64                                  -> 'algo.hidden_sizes=[64,64]'
--l 2                                   -> says: networks follow from the spaces
--agent ppo                             -> algo=ppo
--config x.yaml                         -> says: conf/experiment/NAME.yaml
compile=true                            -> taken
save_model=true                         -> says: checkpoints are always written
--save-model                            -> says: checkpoints are always written
--upload-model                          -> says: checkpoints are always written
image_obs=true                          -> env.images=pixels
channels_last=true                      -> env.channels=last
channels_first=true                     -> env.channels=first
log_info_keys=is_success                -> 'log.infos=[is_success]'
check_env=true                          -> env.check=true
disable_env_checker=true                -> env.check=false
squash_output=true                      -> env.action_bounds=tanh
clip_actions=true                       -> env.action_bounds=clip
use_envpool=true                        -> env.backend=envpool
player_device=cuda                      -> topology.player_accelerator=cuda
dist_timeout=100                        -> fabric.timeout_seconds=100
skip_existing=true                      -> sweep.skip_completed=true
eval_max_steps=500                      -> eval.max_episode_steps=500
fabric.precision=32                     -> fabric.precision=32-true
strategy=deepspeed                      -> strategy=ddp
algo=dqn                                -> taken
algo=dreamer_v3                         -> says: algorithms here: algo=a2c, algo=dqn, algo=ppo, algo=sac, algo=td3
episode_per_collect=16                  -> says: algo.num_steps=128 of each
step_per_epoch=10000                    -> says: how many steps in all
step_per_collect=2000                   -> algo.num_steps=500 (2000 steps / env.num_envs=4)
fps=30                                  -> says: into videos/
--ckpt_path=x                           -> resume=x
data.num_workers=0                      -> says: lightning-hydra-template
resume=outputs/x lr=1e-3                -> algo.learning_rate=1e-3
resume=outputs/x --n-timesteps 1000     -> total_timesteps=1000
gpus=[0,1]                              -> accelerator=cuda fabric.devices=2
video_folder=x                          -> says: into videos/
trial_id=3                              -> says: a search of settings: --multirun search=ppo
use_gae=true                            -> says: it is not there
"""
"""A command line, and the words to write instead; `taken`: as it is, or as what follows; `says`: advice with this."""

REPLAY = """
buffer.size=128                         -> memory.size=128
buffer_size=1e6                         -> memory.size=1000000
buffer.memmap=false                     -> memory.on_disk=false
buffer.checkpoint=true                  -> checkpoint.replay=true
--save-replay-buffer                    -> checkpoint.replay=true
learning_starts=100                     -> algo.learning_starts=100
start_steps=1e4                         -> algo.learning_starts=10000
tau=0.005                               -> algo.tau=0.005
polyak=0.995                            -> says: 1 - polyak
train_freq=4                            -> says: algo.replay_ratio=1
gradient_steps=1                        -> says: algo.replay_ratio=1
target_update_interval=1000             -> says: counts gradient steps
utd_ratio=20                            -> algo.replay_ratio=20
autotune=true                           -> algo.tune_alpha=true
policy_delay=2                          -> algo.policy_every=2
exploration_fraction=0.5                -> algo.epsilon_fraction=0.5
end_e=0.05                              -> algo.epsilon_end=0.05
q_lr=1e-3                               -> algo.critic_learning_rate=1e-3
v_max=10                                -> algo.value_max=10
n_atoms=51                              -> algo.atoms=51
prioritized_replay=true                 -> says: algo.priority_exponent
replay_ratio=0.5                        -> algo.replay_ratio=0.5
"""
"""The same for settings of replay memories and of the algorithms that have one."""

EVALUATION = """
path.ckpt                               -> checkpoint=path.ckpt
ckpt_path=x                             -> checkpoint=x
--ckpt_path x                           -> checkpoint=x
-i x                                    -> checkpoint=x
model_path=x                            -> checkpoint=x
load=x                                  -> checkpoint=x
resume=x                                -> checkpoint=x
run_dir=x                               -> checkpoint=x
n_eval_episodes=5                       -> episodes=5
--n-eval-episodes 5                     -> episodes=5
num_episodes=5                          -> episodes=5
eval.episodes=5                         -> episodes=5
greedy=true                             -> deterministic=true
--deterministic                         -> deterministic=true
--stochastic                            -> deterministic=false
--seed 3                                -> seed=3
env=CartPole-v1                         -> env_id=CartPole-v1
--env CartPole-v1                       -> env_id=CartPole-v1
env.id=CartPole-v1                      -> env_id=CartPole-v1
video=true                              -> capture_video=true
--capture-video                         -> capture_video=true
--no-render                             -> capture_video=false
-n 1000                                 -> episodes=1000
-f logs                                 -> checkpoint=logs
algo=ppo                                -> says: it comes from the checkpoint
num_envs=4                              -> says: it comes from the checkpoint
device=cuda                             -> says: evaluation runs on the CPU
--device cuda                           -> says: evaluation runs on the CPU
"""
"""The same for the command that evaluates."""


def rows(table: str) -> list[tuple[str, str]]:
    return [(words.strip(), answer) for words, answer in (line.split(" -> ") for line in table.strip().splitlines())]


def matches(answer: str, expected: str) -> bool:
    """Return whether a line of an answer holds what is expected, the words that were typed apart."""
    if expected.startswith("says: "):
        return expected.removeprefix("says: ") in answer and ": write " not in answer
    return re.sub(r"(^|[;,] )[^;]*?: write ", r"\1", answer) == expected


def words_of(answer: str) -> list[str]:
    """Return the words of an answer, what stands in brackets or after a semicolon apart."""
    return shlex.split(re.sub(r" \([^)]*\)", "", answer).replace("; ", " ").replace(", ", " "))


@pytest.mark.parametrize(("line", "expected"), rows(TRAINING) + rows(REPLAY))
def test_what_is_typed_is_taken_or_answered_with_the_words_to_write(line, expected):
    try:
        taken = read(shlex.split(line))
    except ConfigError as error:
        assert matches(str(error), expected)
        assert "\n" not in str(error)
    else:
        assert expected.startswith("taken")
        assert taken == shlex.split(expected.removeprefix("taken").removeprefix(" as ") or line)


@pytest.mark.parametrize(("line", "expected"), rows(EVALUATION))
def test_the_command_that_evaluates_answers_too(line, expected):
    with pytest.raises(ConfigError) as raised:
        parse(shlex.split(line))
    assert matches(str(raised.value), expected)


def test_the_words_of_every_answer_are_taken_and_compose():
    """Many in each composition, which takes a tenth of a second: those that do not give the same key."""
    answers = {expected for _, expected in rows(TRAINING) if not expected.startswith(("says", "taken"))}
    needed = {"env.id": "CartPole-v1", "algo": "ppo"}
    batches: list[dict[str, str]] = [dict(needed)]
    for words in sorted({tuple(words_of(answer)) for answer in answers}):
        assert read(list(words)) == list(words)
        given = [word for word in words if not word.startswith(("--multirun", "hydra"))]
        if any("," in word and "[" not in word for word in given):
            continue  # the values of a sweep
        pairs = dict(word.split("=", 1) for word in given)
        batch = next((one for one in batches if not set(one) & set(pairs)), None)
        if batch is None:
            batches.append(batch := {key: value for key, value in needed.items() if key not in pairs})
        batch |= pairs
    for batch in batches:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("config", overrides=[f"{key}={value}" for key, value in batch.items()])
        config = typed(composed)
        assert not list(surplus_keys(config, composed))
        check(config)


def spellings(table: dict[str, str]) -> list[str]:
    return [spelling for text in table.values() for spelling in text.split()]


def test_the_words_for_replay_memories_compose_too():
    answers = [expected for _, expected in rows(REPLAY) if not expected.startswith("says")]
    for algorithm in ("dqn", "sac", "td3"):
        keys = {f"algo.{field.name}" for field in dataclasses.fields(ALGORITHMS[algorithm])}
        words = [word for word in answers if not word.startswith("algo.") or word.partition("=")[0] in keys]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("config", overrides=[f"algo={algorithm}", "env=pendulum", *words])
        check(typed(composed))
    assert all(any(key in answer for answer in answers) for key in ("tau", "memory.size", "atoms"))


def test_the_tables_name_keys_that_exist_and_no_spelling_twice():
    vocabulary = training()
    ours = {*vocabulary.keys, *vocabulary.groups}
    assert set(RENAMED | RENAMED_REPLAY) - ours == {"hydra.run.dir"}
    assert set(CONVERTED) == set(CONVERSIONS)
    every = [*spellings(RENAMED), *spellings(RENAMED_REPLAY), *spellings(ADVICE), *spellings(CONVERTED)]
    assert sorted(every) == sorted(set(every))
    assert not set(every) & ours
    assert every == [spelling.lower().replace("-", "_") for spelling in every]


@pytest.mark.parametrize("value", ["", "true", "false", "3", "x"])
def test_every_spelling_is_answered_with_keys_that_exist(value):
    vocabulary = training()
    for spelling in [*spellings(RENAMED), *spellings(RENAMED_REPLAY), *spellings(CONVERTED)]:
        with pytest.raises(ConfigError) as raised:
            read([f"{spelling}={value}"])
        words = str(raised.value).partition(": write ")[2]
        for word in words_of(words) if words else []:
            key = word.lstrip("+").partition("=")[0]
            known = key in vocabulary.keys or key in vocabulary.groups or key.startswith(("env.kwargs.", "hydra", "--"))
            assert known, str(raised.value)


@pytest.mark.parametrize("text", ADVICE)
def test_keys_in_advice_exist(text):
    vocabulary = training()
    for key in re.findall(r"(?<![\w.])([a-z_]+(?:\.[a-z_]+)?)=", text):
        assert key in vocabulary.keys or key in vocabulary.groups or key == "checkpoint", key


def test_values_that_others_use_are_answered_with_values_that_compose():
    vocabulary = training()
    for key, (values, _) in VALUES.items():
        for value in values:
            if value in vocabulary.groups.get(key, ()):
                continue
            with pytest.raises(ConfigError, match=re.escape(f"{key}={value}: ")):
                read([f"{key}={value}"])
    assert set(ELSEWHERE) & set(vocabulary.groups["algo"]) == set()
    assert set(SUITES) & set(vocabulary.groups["env"]) == set()


@pytest.mark.parametrize(
    ("group", "choice", "command"),
    [
        ("hydra/launcher", "joblib", 'pip install "rlexp[joblib]"'),
        ("hydra/launcher", "submitit_local", 'pip install "rlexp[submitit]"'),
        ("hydra/launcher", "ray", 'pip install "rlexp[ray]"'),
        ("hydra/sweeper", "optuna", 'pip install "rlexp[search]"'),
        ("hydra/sweeper", "ax", 'pip install hydra-ax-sweeper "hydra-core<1.4"'),
        ("hydra/sweeper", "nevergrad", 'pip install hydra-nevergrad-sweeper "hydra-core<1.4"'),
    ],
)
def test_a_plugin_that_is_missing_is_named_with_the_command_that_installs_it(group, choice, command):
    assert missing(group, choice, ["basic"]) == (
        f"{group}={choice} needs a package that is missing; install it with: {command}"
    )
    assert missing(group, choice, ["basic", choice]) is None
    assert choice in PLUGINS[group]


@pytest.mark.parametrize(
    ("env_id", "near"),
    [
        ("CartPol-v1", ["CartPole-v1"]),
        ("cartpole-v1", ["CartPole-v1"]),
        ("CartPole", ["CartPole-v1"]),
        ("CartPole-v7", ["CartPole-v1"]),
        ("Pendulm-v1", ["Pendulum-v1"]),
        ("Foo-v0", []),
        ("Breakfast-v0", []),
        ("MyEnv-v0", []),
    ],
)
def test_nearest_names_only_what_is_near(env_id, near):
    assert nearest(env_id, gymnasium.registry) == near
    assert all(one in unregistered(env_id) for one in near)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: f"{package.module}-{package.pattern[:12]}")
def test_the_table_of_packages_is_well_formed(package):
    assert re.compile(package.pattern).groups >= 0
    assert not any(re.match(package.pattern, one) for one in
                   ("CartPole-v1", "LunarLander-v3", "Blackjack-v1", "Taxi-v3", "HalfCheetah-v5"))  # fmt: skip


def test_a_console_script_finds_modules_in_the_current_folder(tmp_path, monkeypatch):
    """Python gives a script the folder that the script lies in, where `python -m` gives the current one."""
    (tmp_path / "module_of_mine.py").write_text("VALUE = 3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("module_of_mine")
    find_modules_here()
    importlib.invalidate_caches()
    assert importlib.import_module("module_of_mine").VALUE == 3
    find_modules_here()
    assert sys.path.count(str(tmp_path)) == 1
