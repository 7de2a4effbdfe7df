//! Asking the daemon, where there is one. Whatever it does not answer, the command does itself.

#[cfg(unix)]
pub(super) use with_sockets::*;
#[cfg(not(unix))]
pub use without_sockets::*;

#[cfg(unix)]
mod with_sockets {
    use std::path::{Path, PathBuf};

    use imgidx::daemon::{AddRequest, Client, DaemonStatus, SearchRequest, SimilarRequest};
    use imgidx::{AddOptions, Answer, Filter, IndexReport, Progress, TextAnswer, TextQuery};

    use crate::cli::Global;

    /// The daemon, unless it is not to be asked.
    pub(crate) fn daemon(global: &Global) -> Option<Client> {
        if global.direct { None } else { Client::connect(&global.database().ok()?) }
    }

    fn absolute(paths: &[PathBuf]) -> Option<Vec<PathBuf>> {
        paths.iter().map(|path| std::path::absolute(path).ok()).collect()
    }

    /// Neighbours of pictures, by the daemon.
    pub(crate) fn similar(
        global: &Global,
        (images, minus): (&[PathBuf], &[PathBuf]),
        top: usize,
        threshold: Option<f32>,
        exact: bool,
        filter: Filter,
    ) -> Option<Answer> {
        let mut client = daemon(global)?;
        let (plus, less, filter) = (absolute(images)?, absolute(minus)?, filter.absolute());
        let request = SimilarRequest { images: plus, minus: less, top, threshold, exact, filter };
        let mut answer = client.similar(request).ok()?;
        // Told as they were given.
        for (told, given) in answer.query.iter_mut().zip(images.iter().chain(minus)) {
            told.path.clone_from(given);
        }
        Some(answer)
    }

    /// Pictures by words, by the daemon.
    pub(crate) fn search(global: &Global, query: &TextQuery, top: Option<usize>) -> Option<TextAnswer> {
        daemon(global)?.search(SearchRequest { query: query.clone().absolute(), top }).ok()
    }

    /// Hands an `add` over to the daemon; `None` if it has to be done here.
    pub(crate) fn add(
        global: &Global,
        paths: &[PathBuf],
        options: &AddOptions,
        progress: impl Fn(Progress),
    ) -> Option<IndexReport> {
        let mut client = daemon(global)?;
        let close = client.closer().ok()?;
        let request = AddRequest {
            paths: absolute(paths)?,
            scan: options.scan.clone(),
            threads: options.threads,
            batch_size: options.batch_size,
            memory: options.memory,
            feature_time: options.feature_time.map(|time| time.as_millis() as u64),
            picture_time: Some(options.picture_time.as_secs()),
            retry_failed: options.retry_failed,
        };
        let told = |told: Option<Progress>| {
            if options.cancel.is_cancelled() {
                close();
            }
            told.into_iter().for_each(&progress);
        };
        client.add(request, told).ok()
    }

    /// While it is held, the daemon does not write.
    #[derive(Debug)]
    pub(crate) struct Way {
        _client: Option<Client>,
    }

    /// Keeps the daemon from writing, if there is one.
    pub(crate) fn make_way(global: &Global) -> Way {
        Way { _client: daemon(global).and_then(|client| client.make_way().ok()) }
    }

    /// How the daemon is, if there is one.
    pub(crate) fn status(database: &Path) -> Option<DaemonStatus> {
        Client::connect(database)?.status().ok()
    }
}

#[cfg(not(unix))]
mod without_sockets {
    use std::path::PathBuf;

    use imgidx::{AddOptions, Answer, Filter, IndexReport, Progress, TextAnswer, TextQuery};

    use crate::cli::Global;

    pub fn similar(
        _: &Global,
        _: (&[PathBuf], &[PathBuf]),
        _: usize,
        _: Option<f32>,
        _: bool,
        _: Filter,
    ) -> Option<Answer> {
        None
    }

    pub fn search(_: &Global, _: &TextQuery, _: Option<usize>) -> Option<TextAnswer> {
        None
    }

    pub fn add(_: &Global, _: &[PathBuf], _: &AddOptions, _: impl Fn(Progress)) -> Option<IndexReport> {
        None
    }

    #[derive(Debug)]
    pub struct Way;

    pub fn make_way(_: &Global) -> Way {
        Way
    }
}
