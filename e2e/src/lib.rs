//! The embedded host and the end-to-end suite.
