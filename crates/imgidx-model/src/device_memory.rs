//! The memory of an accelerator.

use super::device::Device;

/// Total memory in bytes of the first device of this kind; `None` if it has no memory of its own or does not report it.
pub(super) fn of(device: Device) -> Option<u64> {
    match device {
        #[cfg(feature = "load-runtime")]
        Device::Cuda | Device::TensorRt => cuda(),
        _ => None,
    }
}

/// Asks the CUDA driver (CUDA Driver API, sections 6.2 and 6.5). Every machine on which CUDA works has its library.
#[cfg(feature = "load-runtime")]
fn cuda() -> Option<u64> {
    type Init = unsafe extern "C" fn(u32) -> i32;
    type GetDevice = unsafe extern "C" fn(*mut i32, i32) -> i32;
    type TotalMemory = unsafe extern "C" fn(*mut usize, i32) -> i32;
    let name = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
    // SAFETY: loading the driver's library only runs its own initialisers.
    let library = unsafe { libloading::Library::new(name) }.ok()?;
    let (mut device, mut bytes) = (0, 0);
    // SAFETY: the functions have these signatures (cuda.h) and write only to the two variables.
    let code = unsafe {
        let init = library.get::<Init>(b"cuInit").ok()?;
        let get_device = library.get::<GetDevice>(b"cuDeviceGet").ok()?;
        let total_memory = library.get::<TotalMemory>(b"cuDeviceTotalMem_v2").ok()?;
        [init(0), get_device(&mut device, 0), total_memory(&mut bytes, device)]
    };
    // Keep the driver loaded: ONNX Runtime may be using it.
    std::mem::forget(library);
    (code == [0; 3]).then_some(bytes as u64)
}
