"""The same as `rlexp.command.synonyms`, for keys of the algorithms with a replay memory and of that memory."""

from __future__ import annotations

RENAMED_REPLAY = {
    "memory.size": (
        "buffer_size replay_size replay_buffer_size buffer_capacity replay_capacity rb_size memory_capacity max_size "
        "buffer.size capacity rms_capacity"
    ),
    "memory.on_disk": ("memmap buffer.memmap memory_map use_memmap mmap"),
    "checkpoint.replay": ("save_replay_buffer buffer.checkpoint checkpoint_buffer save_buffer"),
    "algo.learning_starts": (
        "start_steps warmup_steps warm_up_steps prefill random_steps init_random_frames start_step "
        "initial_random_steps num_steps_before_learning start_timesteps min_replay_size num_seed_steps update_after "
        "initial_collect_steps initial_exploration_steps learning_start"
    ),
    "algo.replay_ratio": (
        "update_per_step updates_per_step utd utd_ratio update_to_data update_to_data_ratio training_intensity "
        "num_updates_per_env_step critic_utd"
    ),
    "algo.tau": ("soft_update_tau target_tau target_smoothing_coefficient soft_target_tau critic_tau ema_tau"),
    "algo.n_step": ("n_step_q n_step_return nstep multi_step n_step_returns estimation_step num_step_return"),
    "algo.priority_exponent": (
        "per_alpha prioritized_replay_alpha prioritized_replay_alpha0 priority_alpha priority_weight per_exponent"
    ),
    "algo.priority_correction": ("per_beta prioritized_replay_beta prioritized_replay_beta0 priority_beta beta0"),
    "algo.epsilon_start": ("start_e exploration_initial_eps eps_start initial_epsilon init_epsilon start_eps"),
    "algo.epsilon_end": (
        "end_e exploration_final_eps eps_end final_epsilon eps_train_final epsilon_min eps_min end_eps min_epsilon"
    ),
    "algo.epsilon_fraction": ("exploration_fraction eps_fraction epsilon_decay_fraction"),
    "algo.double": ("double_dqn double_q use_double ddqn is_double"),
    "algo.dueling": ("dueling_dqn duelling use_dueling is_dueling"),
    "algo.noisy": ("noisy_nets noisy_net use_noisy noisynet is_noisy"),
    "algo.atoms": ("n_atoms num_atoms"),
    "algo.value_min": ("v_min vmin"),
    "algo.value_max": ("v_max vmax"),
    "algo.exploration_noise": ("expl_noise action_noise act_noise action_noise_std exploration_sigma"),
    "algo.target_noise": ("policy_noise target_policy_noise smoothing_noise"),
    "algo.target_noise_limit": ("noise_clip target_noise_clip smoothing_noise_clip"),
    "algo.policy_every": ("policy_frequency policy_delay policy_freq update_actor_freq actor_update_freq actor_delay"),
    "algo.critic_learning_rate": ("q_lr qf_lr q_learning_rate critic_lr"),
    "algo.num_critics": ("n_critics num_qs n_qs num_q ensemble_size critic_ensemble_size num_ensemble"),
    "algo.target_critics": ("num_min_qs num_min n_target_critics"),
    "algo.tune_alpha": (
        "autotune auto_alpha automatic_entropy_tuning auto_entropy learn_alpha use_automatic_entropy_tuning"
    ),
    "algo.alpha": ("initial_alpha init_temperature alpha_init temperature init_alpha initial_temperature"),
    "algo.critic_dropout": ("dropout dropout_rate dropout_p critic_dropout_rate"),
    "algo.critic_layer_norm": ("critic_layernorm"),
}  # fmt: skip
"""Our key, and other spellings of it; the value stays as it is."""
