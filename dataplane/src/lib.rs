//! The Portcullis data plane worker.
