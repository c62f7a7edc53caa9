"""What to write instead of settings of other libraries that have no key of ours."""

from __future__ import annotations

ADVICE = {
    "leave it out: every run writes metrics.csv, and TensorBoard files unless logger= says otherwise": (
        "tensorboard tb tensorboard_writer use_tensorboard tb_log tensorboard_logging csv_logger metric.log_level "
        "log_level notes"
    ),
    "metrics.csv is always written; logger=[csv,tensorboard,wandb,mlflow] says where else scalars go, and a logger of "
    "your own is logger=package.module:Class": (
        "loggers report_to metric.logger neptune comet aim project entity project_name tags"
    ),
    "leave it out: a resumed run continues as the same run there; WANDB_API_KEY is read from the environment": (
        "wandb_id wandb_api_key wandb.id"
    ),
    "leave it out: every update is logged": (
        "log_interval log_freq log_every log_every_n_steps log_frequency logging_freq logging_interval log_steps "
        "metric.log_every"
    ),
    "leave it out: the progress bar shows where the output is a terminal": (
        "verbose verbosity v progress_bar progress p enable_progress_bar quiet print_every print_freq silent"
    ),
    "leave it out: checkpoints are always written; checkpoint.every=100000 says how often": (
        "save_model save_last save save_checkpoints checkpoint.save_last save_agent enable_checkpointing save_ckpt "
        "checkpoint.enabled upload_model hf_entity push_to_hub"
    ),
    "algo.replay_ratio=1 says how many gradient steps there are for each environment step, algo.num_steps=4 after how "
    "many steps of each environment they follow": (
        "train_freq train_frequency gradient_steps per_rank_gradient_steps update_every num_gradient_steps "
        "num_updates_per_step n_updates_per_step grad_updates_per_step update_freq num_train_steps_per_env_step"
    ),
    "algo.target_every=250 counts gradient steps, not environment steps, from one step of the target networks to the "
    "next; algo.tau=1 copies": (
        "target_network_frequency target_update_interval target_update_freq target_update_period "
        "target_update_frequency target_network_update_freq target_network_update_frequency target_freq"
    ),
    "algo.tau=0.005 is the share by which target networks move, 1 - polyak": "polyak polyak_tau target_decay",
    "the temperature learns at algo.learning_rate": "alpha_lr alpha_learning_rate temperature_lr temp_lr ent_coef_lr",
    "epsilon falls from algo.epsilon_start=1 to algo.epsilon_end=0.05 over algo.epsilon_fraction=0.2 of the run": (
        "exploration epsilon epsilon_decay eps_decay epsilon_timesteps annealing_steps epsilon_decay_steps "
        "eps_decay_steps exploration_config"
    ),
    "algo.priority_exponent=0.6 draws by priorities (0: uniformly)": (
        "prioritized prioritized_replay prioritised per use_per prioritized_experience_replay buffer_type "
        "replay_buffer_class"
    ),
    "there are no windows to open; capture_video=true writes videos": (
        "render render_mode headless no_render enable_cameras livestream gui show viewer render_freq human_render "
        "visualize"
    ),
    "capture_video=true writes videos into videos/ of the run; video.every=10000 says how many steps apart": (
        "video_trigger video_fps video_dir video_folder episode_trigger step_trigger fps video_path"
    ),
    "rollouts are measured in environment steps: algo.num_steps=128 of each environment": (
        "episode_per_collect episodes_per_collect episodes_per_batch episodes_per_update"
    ),
    "total_timesteps=100000 says how many steps in all, eval.every=10000 how many lie between evaluations": (
        "step_per_epoch"
    ),
    "evaluation episodes are played side by side, up to 16 at a time, so leave it out": (
        "n_eval_envs num_eval_envs eval_num_envs eval.num_envs test_env_num num_test_envs"
    ),
    "observations of several axes are read by themselves; env.channels=first or last names the axis of channels": (
        "transpose_image vec_transpose_image image_order data_format"
    ),
    "it is not there, so leave it out; all that can be set: python -m rlexp.main --cfg job": (
        "gae_method loss_reduction layer_norm anneal_ent_coef uuid truncate_last_trajectory accumulate_grad_batches "
        "sync_on_compute model_manager stats_window_size rollout_buffer_class rollout_buffer_kwargs hf_repo_id "
        "framework ema kl_coef kl_coeff use_kl_loss use_critic use_gae max_time save_code monitor_gym"
    ),
    "leave it out: the command trains; to evaluate a checkpoint: python -m rlexp.evaluate checkpoint=PATH": (
        "train do_train learn fit is_train training"
    ),
    "to evaluate a checkpoint: python -m rlexp.evaluate checkpoint=PATH": (
        "evaluate play enjoy mode eval_only train_only evaluation inference eval_mode run_mode load_and_eval "
        "validate test_only"
    ),
    "the networks follow from the spaces; algo.hidden_sizes and algo.activation_function shape them": (
        "policy_class policy_type model_class network network_type arch features_extractor features_extractor_class "
        "encoder torso backbone actor.type policy_name net cnn_keys mlp_keys cnn_keys.encoder mlp_keys.encoder "
        "l mlp_layers share_encoder policy"
    ),
    "model=lstm or model=gru has a recurrent layer; model.memory_size=64 is its width, model.sequence_length=16 the "
    "steps that it is trained through": (
        "lstm use_lstm rnn use_rnn recurrent gru recurrent_policy use_recurrent n_lstm_layers rnn_type "
        "enable_critic_lstm"
    ),
    "state-dependent exploration is not there; algo.log_std_init=0 sets the noise of Gaussian policies": (
        "use_sde sde_sample_freq gsde sde"
    ),
    "give keys on the command line, or write a file conf/experiment/NAME.yaml and give experiment=NAME": (
        "config_file conf_file cfg_file yaml yaml_file params_file default_config arg_file conf config"
    ),
    "a search of settings: --multirun search=ppo hydra.sweeper.trials=30 (docs/tuning.md); a grid of them: --multirun "
    "algo.learning_rate=1e-3,3e-4": (
        "hparams_search optimize optimize_hyperparameters tune n_trials trials sampler pruner study_name storage "
        "n_startup_trials optuna hpo sweep_config optimized_metric "
        "trial_id max_total_trials n_evaluations optimization_log_path no_optim_plots"
    ),
    "training is measured in environment steps: total_timesteps=100000; eval.episodes=10 are those after it": (
        "episodes num_episodes n_episodes max_episodes total_episodes train_episodes"
    ),
    "wrappers are listed, as env.wrappers=[NAME] or env.wrappers=[package.module:Class]; see docs/own-code.md": (
        "wrapper wrappers env_wrapper wrapper_class wrapper_kwargs env.wrapper vec_env_wrapper gym_packages grayscale "
        "resize screen_size atari_wrappers frame_stack_dilation noop_max "
        "actions_as_observation actions_as_observation.num_stack actions_as_observation.noop "
        "actions_as_observation.dilation reward_as_observation "
        "terminal_on_life_loss episodic_life"
    ),
    "leave it out: lightning-hydra-template's group has nothing to do here": (
        "data.num_workers datamodule.num_workers data.pin_memory datamodule.pin_memory pin_memory min_epochs min_steps "
        "overfit_batches limit_test_batches track_grad_norm terminate_on_nan weights_summary stochastic_weight_avg "
        "sync_batchnorm benchmark auto_lr_find auto_scale_batch_size deterministic_data check_val_every_n_epoch "
        "data datamodule paths extras ignore_warnings enforce_tags print_config num_sanity_val_steps "
        "limit_train_batches limit_val_batches"
    ),
    "leave it out; the log of a run is main.log in its directory": (
        "debug log_to_file logging profiler profile detect_anomaly anomaly_detection"
    ),
    "the learning rate is constant, or falls to 0 over the run with algo.anneal_lr=true": (
        "lr_scheduler scheduler desired_kl adaptive_lr lr_scheduler_type lr_warmup warmup lr_final lr_end min_lr "
        "kl_threshold"
    ),
    "rewards are scaled with env.normalize_rewards=true, clipped with env.clip_rewards=1": (
        "reward_scale reward_scaling reward_scaler reward_shaper scale_rewards reward_scale_value"
    ),
    "environments step in one process with env.vectorization=sync, in one each with env.vectorization=async": (
        "vec_backend backend_vec num_envs_per_process envs_per_worker vec_normalize_path"
    ),
}
"""What to do instead where there is no key, and the spellings that ask for it."""
