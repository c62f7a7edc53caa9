"""What users of other libraries type, and what rlexp calls it.

The spellings come from Stable-Baselines3 and rl-baselines3-zoo, CleanRL, SheepRL, Lightning and
lightning-hydra-template, Isaac Lab and rsl_rl, Tianshou, RLlib, PufferLib and Spinning Up. They are written here in
small letters, with '_' for '-'. `rlexp.command.arguments` reads these tables; a first part such as `algo.` or `train.`
need not be in them (see PREFIXES).
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
    "model.memory_size": ("lstm_hidden_size rnn_hidden_size lstm_size gru_size hidden_state_size"),
    "model.sequence_length": ("bptt_horizon seq_len sequence_length seq_length per_rank_sequence_length max_seq_len"),
    "algo.learning_rate": (
        "lr learning_rate alr pi_lr policy_lr actor_lr vf_lr value_lr optimizer.lr optimizer.learning_rate "
        "init_lr initial_lr base_lr step_size"
    ),
    "algo.num_steps": (
        "n_steps num_steps nsteps rollout_steps rollout_length rollout_len rollout_fragment_length num_rollout_steps "
        "horizon num_steps_per_env steps_per_env unroll_length t_horizon horizon_length"
    ),
    "algo.per_rank_batch_size": (
        "batch_size minibatch_size mini_batch_size sgd_minibatch_size minibatch batch per_rank_batchsize batchsize"
    ),
    "algo.num_minibatches": (
        "num_minibatches n_minibatch n_minibatches nminibatches num_mini_batches num_mini_batch num_batches "
        "minibatches per_rank_num_batches n_minibatchs num_batches_per_epoch"
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


CONVERTED = {
    "wandb": ("track wandb use_wandb enable_wandb wandb_activate log_wandb wandb.enabled"),
    "wandb project": "wandb_project wandb_project_name wandb.project", "wandb entity": "wandb_entity wandb.entity",
    "wandb group": "wandb_group wandb.group", "wandb name": "wandb_name wandb_run_name wandb.name",
    "wandb tags": "wandb_tags wandb.tags", "wandb mode": "wandb_mode wandb.mode",
    "mlflow": ("mlflow use_mlflow"),
    "mlflow place": ("mlflow_tracking_uri tracking_uri mlflow.tracking_uri"),
    "mlflow experiment": ("mlflow_experiment mlflow_experiment_name mlflow.experiment_name"),
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
}  # fmt: skip
"""The name of a conversion of the value, in `rlexp.command.conversions`, and the spellings that it takes."""
