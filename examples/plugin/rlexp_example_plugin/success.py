"""A callback with a scalar and a state."""

from rlexp.learn.callbacks import Callback


class SuccessRate(Callback):
    """Logs the share of all episodes so far that reached the goal."""

    scalars = ("Custom/success_rate",)

    def __init__(self):
        self.reached, self.episodes = 0, 0

    def on_update(self, run, update, episodes):
        self.reached += sum(episode.episode_return > 0 for episode in episodes)
        self.episodes += len(episodes)
        if self.episodes:
            run.log("Custom/success_rate", self.reached / self.episodes)

    def state(self):
        return {"reached": self.reached, "episodes": self.episodes}

    def load_state(self, state):
        self.reached, self.episodes = state["reached"], state["episodes"]
