"""Networks: encoders, action distributions, and the agents made of them."""
