import Glibc
import LinuxIO

extension StoreError {
    /// What the kernel refused, in the store's terms.
    init(_ error: SystemError, in root: Directory) {
        self = error.isNoSpace ? .noSpace(store: root.path, freeBytes: root.freeSpace) : .system(error)
    }
}

/// Runs `body`; what the kernel refuses becomes a `StoreError`.
func inStore<Value: ~Copyable>(_ root: Directory, _ body: () throws(SystemError) -> Value) throws(StoreError) -> Value {
    do throws(SystemError) {
        return try body()
    } catch {
        throw StoreError(error, in: root)
    }
}

extension SystemError {
    /// The caller may not do that here, however often it tries.
    var isRefusal: Bool { code == EACCES || code == EPERM || code == EROFS }
}

extension Directory {
    /// Bytes an unprivileged writer can still put on this directory's disk; 0 where that cannot be told.
    var freeSpace: UInt64 {
        let status = disk
        return UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue
    }

    /// The directory's disk as statvfs(3) has it; all zero where it cannot be told.
    var disk: statvfs {
        var status = statvfs()
        fstatvfs(descriptor.raw, &status)
        return status
    }
}
