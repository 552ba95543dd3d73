//! The one model of vcluster.yaml.
