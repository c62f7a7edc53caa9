# Everything from a fresh clone, with Python 3.11 or newer and make (GNU make 3.81 will do).
#   make cartpole ARGS="seed=3"    further overrides or options
#   make cartpole PYTHON=python3.12    the Python that .venv is made with
PYTHON ?=
ARGS ?=
WORKERS ?= 2
REV ?= HEAD

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# Without the constraints pip may take another torch, gigabytes of it.
INSTALL := $(PY) -m pip install --disable-pip-version-check --quiet -c constraints.txt
PINS := pyproject.toml constraints.txt

# One stamp for each set of extras; installed again only when $(PINS) change.
BASE := $(VENV)/.installed-base
BOX2D := $(VENV)/.installed-box2d
JOBLIB := $(VENV)/.installed-joblib
BENCH := $(VENV)/.installed-bench
DEV := $(VENV)/.installed-dev
MUTANTS := $(VENV)/.installed-mutants
DOCS := $(VENV)/.installed-docs

# Packages of environments ask for older versions of what rlexp is tested with: an environment of their own.
WORLDS_VENV := .venv-worlds
WORLDS_PY := $(WORLDS_VENV)/bin/python
WORLDS := $(WORLDS_VENV)/.installed

# The extras that rlexp names: worlds, loggers, export.
EXTRAS_VENV := .venv-extras
EXTRAS_PY := $(EXTRAS_VENV)/bin/python
EXTRAS := $(EXTRAS_VENV)/.installed

.DEFAULT_GOAL := help
# Two pips must not write into .venv at once.
.NOTPARALLEL:
.PHONY: help cartpole lunarlander sweep tune halfcheetah minigrid atari bipedalwalker results results-worlds results-replay bench bench-replay bench-pages bench-extras bench-compare bench-plots bench-solved bench-startup \
	bench-memory bench-tensors pictures worlds distributed same house mutants test test-slow test-extras test-rliable torture lint format docs reference tensorboard constraints clean \
	clean-outputs

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  Further overrides: make cartpole ARGS="seed=3"   Another Python: PYTHON=python3.12'

cartpole: $(BASE) ## train PPO on CartPole, record videos and evaluate it
	$(PY) -m rlexp.main experiment=cartpole capture_video=true $(ARGS)

lunarlander: $(BOX2D) ## the same on LunarLander (installs Box2D)
	$(PY) -m rlexp.main experiment=lunarlander capture_video=true $(ARGS)

sweep: $(JOBLIB) ## CartPole with 3 seeds and 2 num_envs, two jobs at once; ends with a table and a page
	$(PY) -m rlexp.main --multirun experiment=cartpole seed=1,2,3 env.num_envs=4,8 capture_video=true \
	  hydra/launcher=joblib hydra.launcher.n_jobs=2 $(ARGS)

tune: $(DEV) ## a search of PPO's settings on CartPole: 30 trials, pruned (ARGS="hydra.sweeper.trials=60")
	$(PY) -m rlexp.main --multirun search=ppo experiment=cartpole eval.every=10240 eval.episodes=10 $(ARGS)

halfcheetah: $(EXTRAS) ## PPO on MuJoCo's HalfCheetah (installs the extras into .venv-extras)
	$(EXTRAS_PY) -m rlexp.main experiment=halfcheetah capture_video=true $(ARGS)

minigrid: $(EXTRAS) ## PPO on MiniGrid's DoorKey
	$(EXTRAS_PY) -m rlexp.main experiment=minigrid capture_video=true $(ARGS)

atari: $(EXTRAS) ## PPO on Pong by envpool: 10M steps, hours without a GPU (ARGS="env.id=ALE/Breakout-v5")
	$(EXTRAS_PY) -m rlexp.main experiment=atari env.backend=envpool capture_video=true $(ARGS)

bipedalwalker: $(BOX2D) ## PPO on BipedalWalker: 5M steps
	$(PY) -m rlexp.main experiment=bipedalwalker capture_video=true $(ARGS)

results: $(DEV) ## train all presets on several seeds, also by the fast paths, into docs/results.md (an hour or two)
	$(PY) -m benchmarks.results $(ARGS)

results-replay: $(EXTRAS) ## train the presets of SAC, TD3 and DQN into docs/results.md (hours; goes on where it stopped)
	$(EXTRAS_PY) -m benchmarks.results_worlds --table replay $(ARGS)

results-worlds: $(EXTRAS) ## train the presets of MuJoCo, MiniGrid, BipedalWalker and Atari into docs/results.md (hours; goes on where it stopped)
	$(EXTRAS_PY) -m benchmarks.results_worlds $(ARGS)

bench: $(BENCH) ## measure the speed against Stable-Baselines3
	$(PY) -m benchmarks.speed $(ARGS)
	$(PY) -m benchmarks.plots
	$(PY) -m benchmarks.page

bench-replay: $(EXTRAS) ## measure SAC, TD3, DroQ and DQN against Stable-Baselines3 and SBX (ARGS="--sbx-python PATH")
	$(EXTRAS_PY) -m benchmarks.replay $(ARGS)

bench-pages: $(BASE) ## measure how long a page of 200 runs takes
	$(PY) -m benchmarks.pages $(ARGS)

bench-extras: $(EXTRAS) ## the same on HalfCheetah, Pong and with an LSTM (beside sb3-contrib), in .venv-extras
	$(EXTRAS_PY) -m benchmarks.speed --cases halfcheetah pong memory --variants eager compiled $(ARGS)

bench-compare: $(BENCH) ## measure the working tree against another commit: REV=main
	$(PY) -m benchmarks.speed --compare $(REV) $(ARGS)

bench-plots: $(BENCH) ## plots of the speed by environments, by ranks and by phases
	$(PY) -m benchmarks.points $(ARGS)
	$(PY) -m benchmarks.plots
	$(PY) -m benchmarks.page

bench-solved: $(BENCH) ## wall clock to a solved task against Stable-Baselines3
	$(PY) -m benchmarks.solved $(ARGS)
	$(PY) -m benchmarks.page

bench-startup: $(BASE) ## seconds from the command to its first answer
	$(PY) -m benchmarks.startup $(ARGS)
	$(PY) -m benchmarks.page

bench-memory: $(BASE) ## resident memory over a million steps
	$(PY) -m benchmarks.memory $(ARGS)
	$(PY) -m benchmarks.page

bench-tensors: $(BENCH) ## env.backend=torch over the number of environments, beside peers (ARGS="--jax-python PATH --rounds 5")
	$(PY) -m benchmarks.tensors --peer $(ARGS)

pictures: $(BENCH) ## the pictures of the README, from a sweep of LunarLander and runs of CartPole (some minutes)
	$(PY) -m rlexp.main --multirun experiment=lunarlander seed=1,2,3 eval.every=50000 capture_video=true \
	  hydra.sweep.dir=outputs/sweeps/pictures sweep.skip_completed=true
	$(PY) -m benchmarks.pictures curve outputs/sweeps/pictures
	$(PY) -m benchmarks.pictures animation "$$(ls outputs/sweeps/pictures/1-*/videos/test/*.mp4 | tail -n 1)"
	$(PY) -m benchmarks.pictures topologies
	$(PY) -m benchmarks.pictures terminal terminal-80 --height 22 -- \
	  $(PY) -m rlexp.main experiment=cartpole capture_video=true
	$(PY) -m benchmarks.pictures terminal terminal-140 --width 140 --height 22 -- \
	  $(PY) -m rlexp.main total_timesteps=30000 eval.every=10000 capture_video=true
	$(PY) -m benchmarks.pictures terminal progress-80 --height 12 --at evaluat -- \
	  $(PY) -m rlexp.main total_timesteps=20000 eval.every=10000 eval.episodes=60
	$(PY) -m benchmarks.pictures terminal sweep --width 100 --height 18 -- \
	  $(PY) -m rlexp.main --multirun total_timesteps=10000 seed=1,2,3 env.num_envs=2,4

worlds: $(WORLDS) ## try public environments: train, video, exact resume, into docs/worlds.md (installs them into .venv-worlds)
	$(WORLDS_PY) -m benchmarks.worlds $(ARGS)

distributed: $(DEV) ## learning and speed of every topology, into docs/distributed-results.md
	$(PY) -m benchmarks.distributed $(ARGS)

same: $(DEV) ## compare weights and metrics of 78 short runs with another commit, bit for bit: REV=main (half an hour)
	$(PY) -m benchmarks.same --rev $(REV) $(ARGS)

house: $(DEV) ## how simple the package is to read: modules, circles, long functions (ARGS="OTHER_TREE .")
	$(PY) -m benchmarks.house $(ARGS)

mutants: $(MUTANTS) ## plant small faults in the maths and count those that the tests notice (half an hour)
	$(PY) -m benchmarks.mutants $(ARGS)

test: $(DEV) ## run the tests
	$(PY) -m pytest -n $(WORKERS) $(ARGS)

test-slow: $(DEV) ## run the slow tests (learning, wheel)
	$(PY) -m pytest -n $(WORKERS) -m slow $(ARGS)

test-extras: $(EXTRAS) ## run the tests of worlds, loggers, export and the report's page (installs the extras into .venv-extras)
	$(EXTRAS_PY) -m pytest -n $(WORKERS) -m extras $(ARGS)

test-rliable: | $(PY) ## statistics of comparisons against rliable, in an environment of its own (rliable needs pandas 2)
	@[ -x .venv-rliable/bin/python ] || $(PY) -m venv .venv-rliable
	@.venv-rliable/bin/python -m pip install --disable-pip-version-check --quiet rliable 'pandas<3' pytest pyyaml
	PYTHONPATH=. .venv-rliable/bin/python -m pytest -c /dev/null --rootdir . --noconftest tests/report/test_rliable.py

torture: $(DEV) ## kill and stop runs, feed them mistakes and damaged files (docs/resume.md, docs/reliability.md)
	$(PY) -m pytest -m torture $(ARGS)

lint: $(DEV) ## check style, types and the walls between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict rlexp
	$(BIN)/lint-imports

format: $(DEV) ## format the code and repair what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS) ## the documentation as a site, in build/docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo 'open build/docs/index.html'

reference: $(BASE) ## write every key and scalar into docs/reference.md
	$(PY) -m rlexp.config.reference > docs/reference.tmp && mv docs/reference.tmp docs/reference.md

tensorboard: $(BASE) ## show the curves of all runs in outputs/
	$(BIN)/tensorboard --logdir outputs $(ARGS)

# To upgrade: `.venv/bin/pip install -U NAME`, then this, then `make test lint`. Local version labels (+cpu) are dropped.
constraints: $(DEV) $(BENCH) ## write the versions in .venv into constraints.txt
	@{ sed -n '/^#/p' constraints.txt; \
	  $(PY) -m pip --disable-pip-version-check freeze --all --exclude-editable \
	    --exclude pip --exclude wheel --exclude rlexp | sed -e 's/+[A-Za-z0-9.]*$$//'; \
	} > constraints.tmp && mv constraints.tmp constraints.txt
	@echo 'constraints.txt written'

clean: ## remove .venv, .venv-worlds, .venv-extras, caches and builds (outputs/ stays)
	rm -rf $(VENV) $(WORLDS_VENV) $(EXTRAS_VENV) build dist *.egg-info constraints.tmp docs/reference.tmp
	rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .coverage htmlcov
	find . \( -path ./.git -o -path ./outputs \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-outputs: ## remove all runs in outputs/
	find outputs -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

# A name on the path is not enough: some version managers leave commands there that do not run.
$(PY):
	@python=; \
	for candidate in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'rlexp needs Python 3.11 or newer; name one: make PYTHON=path/to/python3.11' >&2; exit 1; \
	fi; \
	echo "Creating $(VENV) with $$python"; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(BASE): $(PINS) | $(PY)
	@echo 'Installing rlexp (minutes the first time)'
	@$(INSTALL) -e .
	@touch $@

$(BOX2D): $(PINS) | $(PY)
	@echo 'Installing rlexp with Box2D (minutes the first time)'
	@$(INSTALL) -e '.[box2d]'
	@touch $(BASE) $@

$(JOBLIB): $(PINS) | $(PY)
	@echo 'Installing rlexp with joblib (minutes the first time)'
	@$(INSTALL) -e '.[joblib]'
	@touch $(BASE) $@

$(BENCH): $(PINS) | $(PY)
	@echo 'Installing rlexp with its benchmark peers (minutes the first time)'
	@$(INSTALL) -e '.[bench]'
	@touch $(BASE) $@

$(DEV): $(PINS) | $(PY)
	@echo 'Installing rlexp with its development tools (minutes the first time)'
	@$(INSTALL) -e '.[dev]'
	@touch $(BASE) $(BOX2D) $(JOBLIB) $@

$(MUTANTS): $(PINS) | $(PY)
	@echo 'Installing rlexp with mutation testing (minutes the first time)'
	@$(INSTALL) -e '.[mutants]'
	@touch $(BASE) $(BOX2D) $(JOBLIB) $(DEV) $@

$(DOCS): $(PINS) | $(PY)
	@echo 'Installing Sphinx'
	@$(INSTALL) -e '.[docs]'
	@touch $(BASE) $@

$(EXTRAS): $(PINS) | $(PY)
	@echo 'Installing rlexp with its extras into $(EXTRAS_VENV) (minutes, 2 GB)'
	@[ -x $(EXTRAS_PY) ] || $(PY) -m venv $(EXTRAS_VENV) || { rm -rf $(EXTRAS_VENV); exit 1; }
	@$(EXTRAS_PY) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev,browser,bench-extras]'
	@touch $@

# --no-deps: worlds.txt has every dependency, and some packages ask for older versions than work.
$(WORLDS): $(PINS) benchmarks/worlds.txt | $(PY)
	@echo 'Installing rlexp with public environments into $(WORLDS_VENV) (minutes, 3 GB)'
	@[ -x $(WORLDS_PY) ] || $(PY) -m venv $(WORLDS_VENV) || { rm -rf $(WORLDS_VENV); exit 1; }
	@$(WORLDS_PY) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[box2d]'
	@$(WORLDS_PY) -m pip install --disable-pip-version-check --quiet --no-deps -r benchmarks/worlds.txt
	@touch $@
