//! The integration tests: the library through its public interface, and the program in a clean home directory.

#![allow(unreachable_pub, reason = "modules of one test program")]

mod backup;
mod commands;
mod common;
mod concurrency;
mod corpus;
mod crash;
#[cfg(unix)]
mod daemon;
mod damage;
mod docs;
mod dupes;
mod dupes_act;
mod dupes_keep;
#[cfg(unix)]
mod dupes_sequence;
mod failures;
mod features;
mod formats;
mod incremental;
mod isolation;
mod json;
mod layers;
mod meaning;
mod metadata;
mod models;
mod moves;
mod neighbors;
mod power;
mod quick;
mod removal;
mod runtime;
mod schemas;
mod search;
mod sequence;
mod speed;
mod surroundings;
mod together;
mod trace;
mod upgrade;
mod usage;
#[cfg(unix)]
mod watch;
#[cfg(unix)]
mod watch_limits;
#[cfg(unix)]
mod watch_sequence;
mod words;
