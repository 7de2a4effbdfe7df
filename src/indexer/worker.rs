//! A worker, which turns decoded pictures into vectors, one batch at a time.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracing::trace_span;

use super::context::{PipelineContext, ended_early};
use super::preprocess::Prepared;
use super::record::Outcome;
use super::throttle::OpenOnDrop;
use crate::error::Result;
use crate::model::Embedder;

/// How long a partial batch waits for another picture: about as long as decoding one takes.
const BATCH_TIMEOUT: Duration = Duration::from_millis(10);

/// Runs the model until there are no more pictures.
pub(super) fn work(
    context: &PipelineContext<'_>,
    worker: usize,
    pictures: &Receiver<Prepared>,
    results: &Sender<Outcome>,
) -> Result<()> {
    let _open = OpenOnDrop(&context.throttle);
    let mut embedder = None;
    let ended = embed_batches(context, worker, &mut embedder, pictures, results);
    context.encoder.keep(embedder);
    ended
}

/// Runs each batch when it is full, or when no further picture arrives in time: waiting longer would leave the core
/// idle.
fn embed_batches(
    context: &PipelineContext<'_>,
    worker: usize,
    embedder: &mut Option<Embedder>,
    pictures: &Receiver<Prepared>,
    results: &Sender<Outcome>,
) -> Result<()> {
    let mut batch = Vec::new();
    loop {
        if context.throttle.is_closed_for(worker) {
            flush(context, embedder, &mut batch, results)?;
            // The worker is paused because memory is short, so its session is released.
            *embedder = None;
            trace_span!("paused").in_scope(|| context.throttle.wait(worker));
        }
        let next = trace_span!("wait for pictures").in_scope(|| match batch.is_empty() {
            true => pictures.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => pictures.recv_timeout(BATCH_TIMEOUT),
        });
        let is_ready = match next {
            Ok(_) if context.cancel.is_cancelled() => false,
            Ok(prepared) => {
                batch.push(prepared);
                batch.len() >= context.throttle.batch()
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if is_ready {
            flush(context, embedder, &mut batch, results)?;
        }
    }
    flush(context, embedder, &mut batch, results)
}

/// Runs the model on a batch and sends the results.
fn flush(
    context: &PipelineContext<'_>,
    embedder: &mut Option<Embedder>,
    batch: &mut Vec<Prepared>,
    results: &Sender<Outcome>,
) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let (pixels, rest): (Vec<_>, Vec<_>) =
        batch.drain(..).map(|Prepared { observed, decoded, pixels }| (pixels, (observed, decoded))).unzip();
    let embedded = trace_span!("embed").in_scope(|| context.encoder.embed_in_parts(embedder, &pixels))?;
    for ((observed, decoded), embedded) in rest.into_iter().zip(embedded) {
        let outcome = match embedded {
            Ok(embedded) => Outcome::Indexed { observed, decoded, embedded: Some(embedded) },
            Err(error) => Outcome::Unembeddable { observed, decoded, reason: error.to_string() },
        };
        results.send(outcome).map_err(ended_early)?;
    }
    Ok(())
}
