//! The vcluster command.
