"""What users of other libraries type, and what rlexp calls it.

The spellings come from Stable-Baselines3 and rl-baselines3-zoo, CleanRL, SheepRL, Lightning and
lightning-hydra-template, Isaac Lab and rsl_rl, Tianshou, RLlib, PufferLib and Spinning Up. They are written here in
small letters, with '_' for '-'. `rlexp.command.arguments` reads these tables; a first part such as `algo.` or `train.` need not
be in them (see PREFIXES).
"""

from __future__ import annotations

PREFIXES = (
    "train", "training", "trainer", "algo", "algorithm", "agent", "ppo", "a2c", "args", "params", "cfg", "config",
    "conf", "hparams", "hyperparams", "hyperparameters", "fabric", "vec", "env", "policy", "model", "learning",
    "runner", "actor", "critic", "metric", "buffer", "rollout", "collector", "experiment", "general", "optim",
    "base", "logging", "rl", "data", "datamodule",
)  # fmt: skip
"""First parts of dotted keys elsewhere, which say nothing about what the last part means."""

RENAMED = {
    "algo.learning_rate": (
        "lr learning_rate alr pi_lr policy_lr actor_lr critic_lr vf_lr value_lr optimizer.lr optimizer.learning_rate "
        "init_lr initial_lr base_lr step_size"
    ),
    "algo.num_steps": (
        "n_steps num_steps nsteps rollout_steps rollout_length rollout_len rollout_fragment_length num_rollout_steps "
        "horizon num_steps_per_env steps_per_env unroll_length t_horizon horizon_length"
    ),
    "algo.per_rank_batch_size": (
        "batch_size minibatch_size mini_batch_size sgd_minibatch_size minibatch batch per_rank_batchsize batchsize"
    ),
    "algo.update_epochs": (
        "n_epochs num_epochs ppo_epoch ppo_epochs noptepochs num_learning_epochs num_sgd_iter k_epochs update_epoch "
        "n_update_epochs num_update_epochs repeat_per_collect opt_epochs train_iters train_pi_iters mini_epochs"
    ),
    "algo.gamma": ("discount discount_factor discounting gam"),
    "algo.gae_lambda": ("lam lambda lambda_ lmbda gae lambda_gae gae_lam gae_tau gaelambda"),
    "algo.clip_coef": (
        "clip_range clip clip_param clip_eps clip_epsilon cliprange eps_clip clip_ratio ppo_clip clipping_epsilon "
        "ratio_clip e_clip surr_clip clip_value"
    ),
    "algo.ent_coef": (
        "entropy_coef entropy_coeff ent_coeff entropy_cost ent_weight entropy_beta entropy_weight entropy_bonus "
        "entropy ent entcoef entropy_loss_coef entropy_loss_scale"
    ),
    "algo.vf_coef": (
        "value_loss_coef vf_coeff vf_loss_coeff value_coef value_coeff value_loss_weight value_loss_coeff "
        "baseline_cost value_function_coef vf_weight vf critic_coef critic_loss_coef value_loss_scale"
    ),
    "algo.max_grad_norm": (
        "grad_clip gradient_clip_val gradient_clip gradient_clip_norm grad_norm clip_grad_norm clip_gradients "
        "max_gradient_norm grad_norm_clip clip_grad grad_norm_max"
    ),
    "algo.target_kl": ("kl_target kl_limit max_kl kl_max"),
    "algo.normalize_advantages": (
        "norm_adv normalize_advantage normalise_advantages advantage_normalization norm_advantage "
        "standardize_advantages normalize_adv adv_norm"
    ),
    "algo.optimizer_eps": ("adam_eps opt_eps optimizer.eps adam_epsilon opt_epsilon optimizer_epsilon"),
    "algo.weight_decay": ("optimizer.weight_decay wd l2"),
    "algo.anneal_clip_coef": ("anneal_clip clip_anneal anneal_clip_range"),
    "algo.anneal_lr": (
        "anneal_learning_rate lr_anneal lr_annealing linear_lr_decay use_linear_lr_decay decay_lr lr_decay anneal_lrs"
    ),
    "algo.clip_vloss": ("clip_value_loss use_clipped_value_loss clip_vf clip_v_loss"),
    "algo.ortho_init": ("orthogonal_init orthogonal ortho"),
    "algo.shared_torso": (
        "share_layers vf_share_layers shared_network share_network share_features_extractor shared shared_backbone "
        "shared_trunk"
    ),
    "env.id": (
        "env_id env_name environment environment_id gym_id gym_env task task_id task_name_env game env_type scenario "
        "env.name env.task"
    ),
    "env.num_envs": (
        "n_envs nenv nenvs num_env n_env envs num_parallel_envs num_environments training_num num_actors num_cpu "
        "n_cpu num_envs_per_worker num_envs_per_env_runner env_num "
        "env_runners num_env_runners num_rollout_workers num_train_envs local_num_envs num_workers "
        "n_workers"
    ),
    "env.frame_stack": ("n_stack framestack frames_stack num_stack stack num_frame_stack stack_frames"),
    "env.action_repeat": ("frame_skip frameskip n_skip skip_frames repeat_action"),
    "env.max_episode_steps": (
        "max_episode_length max_ep_len time_limit episode_length max_steps_per_episode max_episode_len ep_len "
        "episode_len"
    ),
    "env.normalize_observations": (
        "norm_obs normalize_obs obs_norm obs_normalization empirical_normalization normalize_input "
        "normalize_observation normalise_observations norm_observations normalize_states"
    ),
    "env.normalize_rewards": (
        "norm_reward norm_rewards normalize_reward reward_normalization normalise_rewards reward_norm rew_norm"
    ),
    "env.clip_rewards": ("clip_reward reward_clip clip_rew rewards_clip"),
    "env.clip_observations": ("clip_obs obs_clip"),
    "total_timesteps": (
        "total_steps timesteps n_timesteps num_timesteps total_step total_env_steps num_env_steps env_steps max_steps "
        "max_timesteps max_env_steps train_for_env_steps num_frames frames total_frames n steps num_train_steps "
        "train_steps timesteps_total num_steps_total total_num_steps budget nb_steps step_total"
    ),
    "seed": ("random_seed rng_seed seed_everything manual_seed set_seed seed.value"),
    "torch_deterministic": (
        "deterministic cuda_deterministic cudnn_deterministic deterministic_torch deterministic_algorithms "
        "torch_use_deterministic_algorithms torch_deterministic_algorithms cudnn.deterministic reproducible"
    ),
    "env.seeding": ("seed_mode seeding_mode env_seeding seed_offset"),
    "env.check": ("check_env env_checker checker check_environment env_check env.check_env"),
    "topology.player_accelerator": ("player_device player.device player.accelerator"),
    "topology.overlap": ("overlap async_training overlap_collection"),
    "fabric.timeout_seconds": ("timeout dist_timeout process_group_timeout nccl_timeout timeout_s"),
    "sweep.skip_completed": ("skip_existing skip_done skip_finished"),
    "capture_video": (
        "video record_video save_video record film videos record_videos save_videos capture video_record vid"
    ),
    "compile": ("torch_compile compile_model use_compile jit compiled"),
    "fabric.devices": (
        "devices device_count num_devices n_devices world_size nproc num_processes "
        "nproc_per_node n_proc num_procs num_learners num_ranks ranks"
    ),
    "fabric.num_nodes": ("num_nodes nodes nnodes n_nodes"),
    "fabric.threads_per_rank": ("threads num_threads n_threads torch_threads torch_num_threads cpu_threads"),
    "strategy": ("ddp_strategy parallel_strategy dist_strategy"),
    "resume": (
        "ckpt_path load ckpt checkpoint resume_from restore load_path load_run load_checkpoint checkpoint.resume_from "
        "load_model load_model_path trained_agent pretrained pretrained_path resume_from_checkpoint resume_path "
        "model_path from_checkpoint checkpoint_path resume_run resume_ckpt continue continue_from init_from "
        "checkpoint.path checkpoint.resume load_dir restore_path resume_dir restore_from i_ckpt"
    ),
    "checkpoint.every": (
        "save_freq checkpoint_freq save_interval checkpoint_interval checkpoint_every save_every ckpt_freq ckpt_every "
        "ckpt_interval checkpoint_frequency save_frequency checkpoint.save_freq checkpoint.freq checkpoint.interval "
        "checkpoint.every_n_steps checkpoint.save_every checkpoint.frequency every_n_train_steps"
    ),
    "checkpoint.keep": (
        "checkpoint.keep_last keep_last max_to_keep save_top_k keep_checkpoints keep_checkpoints_num "
        "checkpoint.save_top_k checkpoint.max_to_keep num_checkpoints save_total_limit"
    ),
    "eval.every": (
        "eval_freq eval_interval eval_every evaluation_interval evaluation_freq evaluate_every eval_frequency "
        "val_check_interval eval.freq eval.interval eval.eval_freq eval.frequency test_interval test_freq test_every"
    ),
    "eval.episodes": (
        "n_eval_episodes eval_episodes num_eval_episodes n_eval_ep evaluation_episodes test_num test_episodes "
        "num_test_episodes n_test_episodes eval.n_episodes eval.num_episodes eval.n_eval_episodes evaluation_duration"
    ),
    "eval.max_episode_steps": (
        "eval_max_steps max_eval_steps eval_max_episode_steps max_eval_episode_steps eval.max_steps eval_max_ep_len "
        "eval_episode_length test_max_steps"
    ),
    "eval.stop_at": (
        "stop_at reward_threshold target_reward target_return solved_at stop_reward stop_return reward_target "
        "episode_reward_mean"
    ),
    "hydra.run.dir": (
        "output_dir out_dir logdir log_dir save_dir save_path output outdir log_folder root_dir default_root_dir "
        "results_dir result_dir run_dir work_dir workdir paths.output_dir paths.log_dir tensorboard_log log_path f "
        "out dir logs experiment_dir exp_dir output_path data_dir train_dir storage_path save_folder logs_dir "
        "log_root local_dir"
    ),
}
"""Our key, and other spellings of it; the value stays as it is."""

ADVICE = {
    "leave it out: every run writes metrics.csv and TensorBoard files, which `make tensorboard` shows": (
        "track wandb use_wandb wandb_project wandb_project_name wandb_entity wandb_mode wandb_group wandb_tags "
        "wandb_name wandb_id enable_wandb wandb_activate wandb.project wandb.entity logger loggers mlflow neptune "
        "comet aim project entity project_name tensorboard tb tensorboard_writer use_tensorboard tb_log "
        "tensorboard_logging csv_logger report_to log_wandb metric.logger metric.log_level log_level wandb_api_key "
        "wandb.mode wandb.enabled tags notes"
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
        "save_replay_buffer checkpoint.enabled upload_model hf_entity push_to_hub"
    ),
    "it belongs to algorithms with a replay buffer; those here are algo=ppo and algo=a2c": (
        "buffer_size replay_size learning_starts train_freq train_frequency gradient_steps tau exploration_fraction "
        "target_network_frequency policy_noise autotune q_lr replay_buffer_size buffer.size buffer_capacity "
        "memory_size start_steps warmup_steps polyak exploration_final_eps exploration_initial_eps start_e end_e "
        "epsilon_start epsilon_end target_update_interval update_per_step replay_ratio per_rank_gradient_steps "
        "prefill random_steps noise_clip policy_frequency buffer.memmap buffer.checkpoint target_entropy n_step_q "
        "initial_alpha alpha_lr"
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
        "l mlp_layers share_encoder policy model"
    ),
    "recurrent networks are not there; env.frame_stack=4 shows the last observations": (
        "lstm use_lstm rnn use_rnn recurrent gru lstm_hidden_size rnn_hidden_size recurrent_policy use_recurrent "
        "n_lstm_layers rnn_type bptt_horizon enable_critic_lstm"
    ),
    "state-dependent exploration is not there; algo.log_std_init=0 sets the noise of Gaussian policies": (
        "use_sde sde_sample_freq gsde sde"
    ),
    "give keys on the command line, or write a file conf/experiment/NAME.yaml and give experiment=NAME": (
        "config_file conf_file cfg_file yaml yaml_file params_file default_config arg_file conf config"
    ),
    "a search of settings is a sweep: --multirun algo.learning_rate=1e-3,3e-4": (
        "hparams_search optimize optimize_hyperparameters tune n_trials trials sampler pruner study_name storage "
        "n_startup_trials optuna hpo search sweep_config optimized_metric "
        "trial_id max_total_trials n_evaluations optimization_log_path no_optim_plots"
    ),
    "training is measured in environment steps: total_timesteps=100000; eval.episodes=10 are those after it": (
        "episodes num_episodes n_episodes max_episodes total_episodes train_episodes"
    ),
    "wrappers are not a setting; build the environment with them in your own module and write env.id=module:Id": (
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
        "data datamodule callbacks paths extras ignore_warnings enforce_tags print_config num_sanity_val_steps "
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

CONVERTED = {
    "device": (
        "device cuda gpu use_gpu use_cuda gpu_id cuda_device sim_device rl_device torch_device gpu_idx device_id "
        "train.device cuda_id"
    ),
    "gpus": ("gpus num_gpus n_gpus ngpu ngpus"),
    "no device": ("no_cuda no_gpu disable_cuda cpu_only force_cpu"),
    "cpu": ("cpu use_cpu"),
    "video every": (
        "video_freq video_interval capture_video_freq record_video_frequency video_every record_every "
        "capture_video_interval record_video_interval video_frequency record_video_freq save_video_freq"
    ),
    "video steps": (
        "video_length recording_length record_video_length capture_video_len capture_video_length video_max_steps "
        "video_len video_steps"
    ),
    "infos": ("info_keywords log_info_keys info_keys log_info log_infos monitor_info_keywords info_keywords_to_log"),
    "images": (
        "image_obs is_image use_images image_observation image_observations from_pixels pixel_obs pixels use_pixels "
        "obs_type observation_type"
    ),
    "channels last": ("channels_last channel_last images_channels_last"),
    "channels first": ("channels_first channel_first image_channels_first"),
    "no check": ("disable_env_checker skip_check disable_check"),
    "envpool": ("envpool use_envpool"),
    "tanh": ("squash squash_output tanh_squash use_tanh squash_actions tanh_actions squashed"),
    "clip actions": ("clip_actions clip_action action_clip action_clipping"),
    "jobs": ("n_jobs num_jobs jobs"),
    "minibatches": (
        "num_minibatches n_minibatch n_minibatches nminibatches num_mini_batches num_mini_batch num_batches "
        "minibatches per_rank_num_batches n_minibatchs num_batches_per_epoch"
    ),
    "updates": (
        "max_iterations max_iteration num_iterations n_iterations iterations n_iter max_iter num_updates n_updates "
        "updates max_epochs max_epoch epochs epoch max_iters num_iters training_iteration"
    ),
    "collected": (
        "step_per_collect steps_per_collect frames_per_batch steps_per_epoch collect_steps train_batch_size "
        "rollout_size num_steps_per_update"
    ),
    "widths": (
        "net_arch hidden_size hidden_dim hidden_dims hidden_layers fcnet_hiddens layers units dense_units mlp_units "
        "hidden hid policy_kwargs mlp_hidden_sizes actor_hidden_dims critic_hidden_dims hidden_layer_sizes "
        "policy_hidden_dims layer_size layer_sizes hidden_units width fc_dims arch.hidden num_hidden n_hidden"
    ),
    "activation": ("activation activation_fn act nonlinearity act_fn dense_act fcnet_activation activation_func"),
    "optimizer": (
        "optimizer optim optimizer_class opt optimizer.name optimizer_name optimizer_type optimizer._target_"
    ),
    "schedule": ("lr_schedule learning_rate_schedule schedule lr_decay_type"),
    "experiment": (
        "exp exp_name run_name name experiment_name task_name group log_name tb_log_name run_id exp_id "
        "experiment_id trial_name job_name"
    ),
    "algorithm": ("algorithm agent alg algo_name algo.name rl_algo agent.name method algorithm_name"),
    "trainer": ("trainer"),
    "seeds": ("seeds n_seeds num_seeds seed_list random_seeds"),
    "keywords": (
        "env_kwargs env_config env_args env_params environment_kwargs env.args eval_env_kwargs make_kwargs env_options"
    ),
    "processes": ("vec_env vec_env_type vec_env_cls vec_env_class parallel_env env_backend env_worker vec"),
    "sync": ("env.sync_env sync_env sync"),
    "async": ("async async_env async_envs subproc subprocess async_vector_env parallel asynchronous env.async"),
    "normalize": ("normalize vec_normalize vecnormalize normalise normalization"),
    "run test": ("run_test algo.run_test eval_after_training final_eval"),
    "test": ("test"),
    "std": ("init_noise_std init_std std_init action_std action_std_init"),
    "value clip": ("clip_range_vf cliprange_vf vf_clip_param vf_clip clip_vf_range vf_clip_coef"),
    "precision": ("precision dtype mixed_precision amp use_amp bf16 float_precision trainer.precision"),
    "half": ("fp16 half float16 use_fp16"),
    "ranks": ("distributed ddp multi_gpu multigpu data_parallel use_ddp"),
    "decoupled": ("decoupled topology.decoupled"),
    "short": ("dry_run fast_dev_run debug_run smoke_test"),
    "sweep": ("multirun multi_run sweeping"),
    "launcher": ("launcher hydra.launcher hydra_launcher"),
    "sweeper": ("sweeper hydra.sweeper hydra_sweeper"),
    "version": ("ver version v_"),
}
"""The name of a conversion of the value, in `rlexp.command.conversions`, and the spellings that it takes."""

EVALUATION = {
    "checkpoint": (
        "ckpt_path load ckpt model_path path resume checkpoint_path trained_agent i run run_dir load_run model "
        "weights load_path load_checkpoint resume_from file policy_path restore checkpoint.path "
        "checkpoint.resume_from load_model folder f"
    ),
    "episodes": (
        "n_eval_episodes num_episodes n_episodes eval_episodes n num_eval_episodes eval.episodes n_eval test_episodes "
        "num_test_episodes test_num eval_num_episodes"
    ),
    "deterministic": ("greedy det deterministic_policy"),
    "capture_video": (
        "video record_video record save_video film videos save_videos render render_mode env.capture_video"
    ),
    "env_id": ("env env.id environment gym_id env_name task environment_id env.name"),
    "seed": ("random_seed eval_seed rng_seed"),
    "; it comes from the checkpoint, so leave it out": (
        "algo algo_name experiment exp total_timesteps algorithm topology config num_envs env.num_envs n_envs"
    ),
    "; leave it out: evaluation runs on the CPU": (
        "device accelerator cuda gpu fabric.accelerator fabric.devices devices use_cuda"
    ),
}
"""The same for the command that evaluates: its key, or advice (after a semicolon), and other spellings."""
