//! Restrictions that a decoder process puts on itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Memory allowed in addition to a picture's own: metadata of the file, tables of decoders, stacks and fonts.
const MEMORY_HEADROOM: u64 = 128 << 20;

/// Limits of this process, relative to the memory that it used before the first picture.
#[derive(Debug)]
pub(super) struct Limits {
    /// Bytes counted by [`Resource::Data`] before the first picture; `None` where the system does not count them.
    baseline: Option<u64>,
}

impl Limits {
    /// Gives up what no decoder needs: core dumps, the network, and all files except fonts.
    ///
    /// Interrupts are ignored, because the parent process handles them.
    ///
    /// # Errors
    /// If a signal handler cannot be registered.
    pub(super) fn start() -> io::Result<Self> {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // Nobody reads the flag: a handler is all that is needed to ignore the signal.
            signal_hook::flag::register(signal, Arc::default())?;
        }
        limit(Resource::Core, 0);
        #[cfg(target_os = "linux")]
        forbid_files_and_network();
        Ok(Self { baseline: memory("VmData:") })
    }

    /// Limits memory to `bytes` for the current picture: the system refuses larger allocations.
    pub(super) fn bound_memory(&self, bytes: u64) {
        if let Some(baseline) = self.baseline {
            limit(Resource::Data, baseline.saturating_add(MEMORY_HEADROOM).saturating_add(bytes));
        }
    }
}

/// Limits CPU time from now on: the system kills this process when the time is over.
pub(super) fn bound_time(time: Duration) {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = u64::try_from(used.tv_sec).unwrap_or(0) + 1;
    limit(Resource::Cpu, used + time.as_secs().max(1));
}

/// Peak private memory of this process so far, in bytes; 0 where the system does not report it.
pub(super) fn peak_memory() -> u64 {
    memory("VmHWM:").unwrap_or(0).saturating_sub(memory("RssFile:").unwrap_or(0))
}

/// Sets a soft limit, capped at the hard limit. Failure is ignored: the process then runs without this limit.
fn limit(resource: Resource, value: u64) {
    let maximum = getrlimit(resource).maximum;
    let current = maximum.map_or(value, |maximum| value.min(maximum));
    let _ = setrlimit(resource, Rlimit { current: Some(current), maximum });
}

/// A value of `/proc/self/status`, in bytes.
fn memory(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

/// Denies access to the network and to all files outside the font directories, as far as the kernel supports it (Linux
/// 5.13 and later).
#[cfg(target_os = "linux")]
fn forbid_files_and_network() {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
        path_beneath_rules,
    };
    // The directories that fontdb reads, and this process's own status.
    let fixed = ["/usr/share/fonts", "/usr/local/share/fonts", "/proc/self/status"];
    let of_user = [".fonts", ".local/share/fonts"];
    let home = std::env::home_dir().unwrap_or_default();
    let readable = fixed.into_iter().map(Into::into).chain(of_user.into_iter().map(|folder| home.join(folder)));
    let forbid = || {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V5))?;
        let ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V5))?.create()?;
        let rules = path_beneath_rules(readable, AccessFs::from_read(ABI::V5));
        ruleset.add_rules(rules)?.restrict_self()
    };
    // Without kernel support, the other limits still hold.
    let _: Result<RestrictionStatus, RulesetError> = forbid();
}
