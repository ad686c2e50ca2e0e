//! Stopping without dropping requests.
