//! Requests to the daemon, if one runs. A command does itself whatever the daemon does not answer.

#[cfg(unix)]
pub(super) use with_sockets::*;
#[cfg(not(unix))]
pub use without_sockets::*;

#[cfg(unix)]
mod with_sockets {
    use std::path::{Path, PathBuf};

    use imgidx::daemon::{AddRequest, Client, DaemonStatus, SearchRequest, SimilarRequest};
    use imgidx::{AddOptions, Answer, IndexReport, Progress, Query, TextAnswer, TextQuery};

    use crate::cli::Global;

    /// Connects to the daemon, unless `--direct` is given.
    pub(crate) fn daemon(global: &Global) -> Option<Client> {
        if global.direct { None } else { Client::connect(&global.database().ok()?) }
    }

    /// Neighbours of pictures, found by the daemon.
    pub(crate) fn similar(global: &Global, query: &Query, top: usize) -> Option<Answer> {
        let mut client = daemon(global)?;
        let mut answer = client.similar(SimilarRequest { query: query.absolute()?, top }).ok()?;
        // Shown as they were given.
        for (queried, given) in answer.query.iter_mut().zip(query.names()) {
            queried.path = given.to_owned();
        }
        Some(answer)
    }

    /// Asks the daemon for the pictures that match words.
    pub(crate) fn search(global: &Global, query: &TextQuery, top: Option<usize>) -> Option<TextAnswer> {
        daemon(global)?.search(SearchRequest { query: query.clone().absolute(), top }).ok()
    }

    /// Hands an `add` over to the daemon. `None` means that the caller has to do it.
    pub(crate) fn add(
        global: &Global,
        paths: &[PathBuf],
        options: &AddOptions,
        progress: impl Fn(Progress),
    ) -> Option<IndexReport> {
        let mut client = daemon(global)?;
        let close = client.closer().ok()?;
        let paths = paths.iter().map(std::path::absolute).collect::<Result<_, _>>().ok()?;
        let request = AddRequest { paths, options: options.clone() };
        let on_progress = |update: Option<Progress>| {
            if options.cancel.is_cancelled() {
                close();
            }
            update.into_iter().for_each(&progress);
        };
        client.add(request, on_progress).ok()
    }

    /// Asks the daemon, if one runs, not to write until the result is dropped.
    pub(crate) fn make_way(global: &Global) -> Option<Client> {
        daemon(global)?.make_way().ok()
    }

    /// The status of the daemon, if one runs.
    pub(crate) fn status(database: &Path) -> Option<DaemonStatus> {
        Client::connect(database)?.status().ok()
    }
}

#[cfg(not(unix))]
mod without_sockets {
    use std::path::PathBuf;

    use imgidx::{AddOptions, Answer, IndexReport, Progress, Query, TextAnswer, TextQuery};

    use crate::cli::Global;

    pub fn similar(_: &Global, _: &Query, _: usize) -> Option<Answer> {
        None
    }

    pub fn search(_: &Global, _: &TextQuery, _: Option<usize>) -> Option<TextAnswer> {
        None
    }

    pub fn add(_: &Global, _: &[PathBuf], _: &AddOptions, _: impl Fn(Progress)) -> Option<IndexReport> {
        None
    }

    pub fn make_way(_: &Global) -> Option<()> {
        None
    }
}
