//! The devices on which a model can run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The CPU or an accelerator that runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Chosen by imgidx: the fastest that `tune` measured, or else the first of [`Device::candidates`] that works.
    #[default]
    Auto,
    /// The CPU, with one session for each worker.
    Cpu,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT, which takes minutes to compile a graph on first use.
    TensorRt,
    /// Apple's Core ML.
    CoreMl,
    /// Microsoft's DirectML.
    DirectMl,
    /// Intel's OpenVINO, on a device that it chooses itself.
    OpenVino,
}

impl Device {
    /// All devices, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Auto, Self::Cpu, Self::Cuda, Self::TensorRt, Self::CoreMl, Self::DirectMl, Self::OpenVino];

    /// The name used in options and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
            Self::OpenVino => "openvino",
        }
    }

    /// Whether all workers share one session, because the device runs one batch at a time anyway.
    pub fn is_accelerator(self) -> bool {
        !matches!(self, Self::Auto | Self::Cpu)
    }

    /// The devices to try for [`Device::Auto`], best first. The CPU is always the last.
    ///
    /// A quantized graph, such as the built-in model, is made for the CPU: accelerators would hand most of it back to
    /// the CPU. TensorRT must be requested by name because it compiles for minutes, and OpenVINO because it mostly runs
    /// on the CPU anyway.
    pub fn candidates(offered: &[Self], is_quantized: bool) -> Vec<Self> {
        let wanted = [Self::Cuda, Self::CoreMl, Self::DirectMl];
        let accelerators = wanted.into_iter().filter(|device| !is_quantized && offered.contains(device));
        accelerators.chain([Self::Cpu]).collect()
    }

    /// The default batch size, for use without measurements.
    ///
    /// On the CPU, batches of more than two pictures are no faster and only take memory. Accelerators use larger
    /// batches, which depend on `memory`: the device's own memory in bytes, if known.
    pub fn usual_batch(self, memory: Option<u64>) -> usize {
        match (self, memory) {
            (Self::Auto | Self::Cpu | Self::OpenVino, _) => 2,
            (_, Some(bytes)) if bytes > 8 << 30 => 64,
            (_, Some(bytes)) if bytes > 4 << 30 => 32,
            _ => 16,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|device| device.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::Invalid(format!("unknown device `{name}`; use one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_an_accelerator_comes_before_the_cpu_only_for_graphs_of_floats() {
        let offered = [Device::Cpu, Device::OpenVino, Device::TensorRt, Device::Cuda];
        assert_eq!(Device::candidates(&offered, false), [Device::Cuda, Device::Cpu]);
        assert_eq!(Device::candidates(&offered, true), [Device::Cpu]);
        assert_eq!(Device::candidates(&[Device::Cpu], false), [Device::Cpu]);
    }

    #[test]
    fn names_survive_a_round_trip() {
        for device in Device::ALL {
            assert_eq!(device.to_string().parse::<Device>().expect("a name"), device);
        }
        let error = "gpu".parse::<Device>().expect_err("no such device").to_string();
        assert!(error.contains("`gpu`") && error.contains("cuda, tensorrt"), "{error}");
    }
}
