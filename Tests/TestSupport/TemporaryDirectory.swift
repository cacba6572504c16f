import Glibc
import LinuxIO

/// A directory that goes away, with all that is in it, when the last reference does.
public final class TemporaryDirectory: Sendable {
    public let path: String

    /// Where files cost no waiting for a disk, if there is room for all tests at once: containers have 64 MB there.
    public static let memory: String? = {
        var status = statvfs()
        guard access("/dev/shm", W_OK) == 0, statvfs("/dev/shm", &status) == 0 else { return nil }
        return status.f_bavail * status.f_frsize > 1 << 30 ? "/dev/shm" : nil
    }()

    public init() throws(SystemError) {
        var template = Array("/tmp/larder-test.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", path: "/tmp/larder-test.XXXXXX") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        try? Directory(path).removeContents()
        rmdir(path)
    }

    public func directory() throws(SystemError) -> Directory { try Directory(path) }

    /// Writes a file, makes its parents, and returns its path. A program can be run at once: see `install`.
    @discardableResult
    public func write(_ name: String, _ bytes: some Collection<UInt8>, mode: mode_t = 0o644) throws(SystemError) -> String {
        let directory = try directory()
        guard mode & 0o111 == 0 else { return try install(try write(name + ".text", bytes), mode, path + "/" + name) }
        if let slash = name.lastIndex(of: "/") { try directory.makeDirectories(String(name[..<slash])) }
        let file = try directory.open(name, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        var failure: SystemError?
        Array(bytes).withUnsafeBytes { bytes in
            do throws(SystemError) { try file.write(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        guard fchmod(file.raw, mode) == 0 else { throw SystemError("fchmod", path: name) }
        return path + "/" + name
    }

    /// Another process writes what is to be run. A descriptor of ours that is open for writing could be inherited by a program
    /// that another thread starts at this moment, and the kernel runs nothing that somebody may write to.
    private func install(_ text: String, _ mode: mode_t, _ path: String) throws(SystemError) -> String {
        let arguments = ["-m", String(mode, radix: 8), text, path]
        guard try ChildProcess("install", arguments, logPath: "/dev/null").wait() == 0 else { throw SystemError("install", path: path, code: EIO) }
        unlink(text)
        return path
    }

    @discardableResult
    public func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws(SystemError) -> String {
        try write(name, Array(text.utf8), mode: mode)
    }
}
