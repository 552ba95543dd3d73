//! Translates objects between the virtual and the host cluster.
