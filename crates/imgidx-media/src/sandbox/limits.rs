//! What a process that decodes may not do.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What a process may take beside what a picture is said to need: a file's metadata, a decoder's tables, stacks, fonts.
const SLACK: u64 = 128 << 20;

/// Limits of this process, which only its own pictures can reach.
#[derive(Debug)]
pub(super) struct Limits {
    /// Bytes that [`Resource::Data`] counted before the first picture; `None` where it does not count.
    data: Option<u64>,
}

impl Limits {
    /// Gives up what no decoder needs: files but fonts, the network, core dumps; and interrupts, which are for the program that
    /// started this one.
    ///
    /// # Errors
    /// When the system has no room for it.
    pub(super) fn start() -> io::Result<Self> {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // A flag that nobody reads.
            signal_hook::flag::register(signal, Arc::default())?;
        }
        limit(Resource::Core, 0);
        #[cfg(target_os = "linux")]
        forbid_files_and_network();
        Ok(Self { data: memory("VmData:") })
    }

    /// Bounds memory: the system refuses more.
    pub(super) fn bound_memory(&self, bytes: u64) {
        if let Some(data) = self.data {
            limit(Resource::Data, data.saturating_add(SLACK).saturating_add(bytes));
        }
    }
}

/// Bounds the time on a processor, from now on: the system ends this process when it is over.
pub(super) fn bound_time(time: Duration) {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = u64::try_from(used.tv_sec).unwrap_or(0) + 1;
    limit(Resource::Cpu, used + time.as_secs().max(1));
}

/// The most memory that this process had for itself until now, in bytes; 0 where the system does not tell.
pub(super) fn peak_memory() -> u64 {
    memory("VmHWM:").unwrap_or(0).saturating_sub(memory("RssFile:").unwrap_or(0))
}

/// Lowers a limit as far as that is allowed; where it is not, there is none.
fn limit(resource: Resource, value: u64) {
    let maximum = getrlimit(resource).maximum;
    let current = maximum.map_or(value, |maximum| value.min(maximum));
    let _ = setrlimit(resource, Rlimit { current: Some(current), maximum });
}

/// A line of the system's account of this process.
fn memory(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

/// Of the file system only where fonts lie is left, and of the network nothing, as far as this kernel can (5.13 and later).
#[cfg(target_os = "linux")]
fn forbid_files_and_network() {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
        path_beneath_rules,
    };
    // What fontdb looks at, and what this process reads of itself.
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
    // Where it is not to be had, the other bounds hold all the same.
    let _: Result<RestrictionStatus, RulesetError> = forbid();
}
