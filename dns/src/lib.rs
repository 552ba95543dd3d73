//! The name server of a virtual cluster.
