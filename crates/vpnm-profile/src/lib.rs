//! What to connect to: share links, subscriptions and their configurations.
