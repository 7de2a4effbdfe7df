//! Where a model runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The processor or accelerator that runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Chosen by imgidx: what `tune` has found to be the fastest, or else the first of [`Device::candidates`] that works.
    #[default]
    Auto,
    /// The processor, one session for each worker.
    Cpu,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT, which takes minutes to compile a graph at its first use.
    TensorRt,
    /// Apple's Core ML.
    CoreMl,
    /// Microsoft's DirectML.
    DirectMl,
    /// Intel's OpenVINO, on the device that it chooses itself.
    OpenVino,
}

impl Device {
    /// All devices, in the order in which they are listed.
    pub const ALL: [Self; 7] =
        [Self::Auto, Self::Cpu, Self::Cuda, Self::TensorRt, Self::CoreMl, Self::DirectMl, Self::OpenVino];

    /// The name in options and messages.
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

    /// Whether workers share one session, because the device does one batch at a time anyway.
    pub fn is_accelerator(self) -> bool {
        !matches!(self, Self::Auto | Self::Cpu)
    }

    /// Devices that are worth a try where none is named, the best one first; the processor is always the last.
    ///
    /// A graph of whole numbers, as the built-in model is, is made for the processor: accelerators would give most of it back to that.
    /// TensorRT is left to those who ask for it, because of its minutes of compiling; so is OpenVINO, which mostly is the
    /// processor again.
    pub fn candidates(offered: &[Self], is_quantized: bool) -> Vec<Self> {
        let wanted = [Self::Cuda, Self::CoreMl, Self::DirectMl];
        let accelerators = wanted.into_iter().filter(|device| !is_quantized && offered.contains(device));
        accelerators.chain([Self::Cpu]).collect()
    }

    /// Pictures that go through a model at once, where nothing else is known.
    ///
    /// On the processor two are as fast as more, which only take memory. Accelerators take larger batches; how large, `memory` says: the
    /// bytes that the device has of its own, if that is known.
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
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|device| device.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("there is no device `{name}`; there are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_an_accelerator_comes_before_the_processor_only_for_graphs_of_floats() {
        let offered = [Device::Cpu, Device::OpenVino, Device::TensorRt, Device::Cuda];
        assert_eq!(Device::candidates(&offered, false), [Device::Cuda, Device::Cpu]);
        assert_eq!(Device::candidates(&offered, true), [Device::Cpu]);
        assert_eq!(Device::candidates(&[Device::Cpu], false), [Device::Cpu]);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for device in Device::ALL {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        let error = "gpu".parse::<Device>().expect_err("no such device");
        assert!(error.contains("`gpu`") && error.contains("cuda, tensorrt"), "{error}");
    }
}
