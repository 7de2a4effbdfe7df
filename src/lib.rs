pub mod error;
pub mod media;
pub mod store;
pub mod types;
