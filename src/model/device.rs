//! Where a model runs.

use std::fmt;
use std::str::FromStr;

/// The processor or accelerator that runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// Chosen by imgidx: at present always the processor, for which the built-in model is made.
    #[default]
    Auto,
    /// The processor, one session for each worker.
    Cpu,
    /// NVIDIA's CUDA.
    Cuda,
    /// Apple's Core ML.
    CoreMl,
    /// Microsoft's DirectML.
    DirectMl,
}

impl Device {
    /// All devices, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Cpu, Self::Cuda, Self::CoreMl, Self::DirectMl];

    /// The name in options and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
        }
    }

    /// Whether workers share one session, because the device does one batch at a time anyway.
    pub fn is_accelerator(self) -> bool {
        !matches!(self, Self::Auto | Self::Cpu)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|device| device.as_str() == name)
            .ok_or_else(|| format!("there is no device `{name}`"))
    }
}
