//! The Portcullis control process: configuration, secrets, validation, and the command line.

pub mod resource;
