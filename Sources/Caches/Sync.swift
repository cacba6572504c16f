import CLinux
import LinuxIO

extension Directory {
    /// Waits until everything anybody wrote to this directory's filesystem is on disk.
    func syncFilesystem() throws(SystemError) {
        guard larder_sync_filesystem(descriptor.raw) == 0 else { throw SystemError("syncfs", path: path) }
    }
}
