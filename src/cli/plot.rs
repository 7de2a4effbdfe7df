//! A plot of speed against batch size, with one line for each number of workers and threads.

use std::io;
use std::path::Path;

use imgidx::index::Trialed;
use plotters::prelude::*;

use super::output::count;

/// Colours that people with colour vision deficiencies can tell apart (Okabe and Ito, 2008).
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// Writes the plot as an SVG file.
pub(super) fn write(path: &Path, trials: &[Trialed]) -> io::Result<()> {
    let mut svg = String::new();
    draw(&mut svg, trials).map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::write(path, svg)
}

/// The settings of one line: device, workers, threads per worker.
type Line = (imgidx::model::Device, usize, usize);

fn lines(trials: &[Trialed]) -> Vec<(Line, Vec<(f64, f64)>)> {
    let mut lines: Vec<(Line, Vec<(f64, f64)>)> = Vec::new();
    for trial in trials {
        let setting = &trial.setting;
        let line = (setting.device, setting.workers, setting.model_threads);
        let point = ((setting.batch_size as f64).log2(), trial.images_per_second);
        match lines.iter_mut().find(|(other, _)| *other == line) {
            Some((_, points)) => points.push(point),
            None => lines.push((line, vec![point])),
        }
    }
    lines.sort_by_key(|((device, workers, threads), _)| (device.as_str(), *workers, *threads));
    lines.iter_mut().for_each(|(_, points)| points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    lines
}

fn draw(svg: &mut String, trials: &[Trialed]) -> Result<(), Box<dyn std::error::Error>> {
    let max_rate = trials.iter().map(|trial| trial.images_per_second).fold(1.0, f64::max);
    let max_power = trials.iter().map(|trial| (trial.setting.batch_size as f64).log2()).fold(1.0, f64::max);
    let area = SVGBackend::with_string(svg, (960, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Pictures per second by batch size", ("sans-serif", 22))
        .margin(20)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..max_power + 0.1, 0.0..max_rate * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("batch size")
        .y_desc("images/s")
        .label_style(("sans-serif", 14))
        .x_labels(max_power as usize + 1)
        .x_label_formatter(&|power| format!("{:.0}", power.exp2()))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (i, ((device, workers, threads), points)) in lines(trials).into_iter().enumerate() {
        let style = COLORS[i % COLORS.len()].stroke_width(2);
        let (worker_count, thread_count) = (count(workers as u64, "worker"), count(threads as u64, "thread"));
        let name = format!("{device}: {worker_count} of {thread_count}");
        let line = LineSeries::new(points, style).point_size(4);
        let key = move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], style);
        chart.draw_series(line)?.label(name).legend(key);
    }
    chart
        .configure_series_labels()
        .label_font(("sans-serif", 14))
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(area.present()?)
}
