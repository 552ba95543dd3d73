//! The gRPC contracts between the services.
