import Glibc
import LinuxIO

/// A directory that goes away, with all that is in it, when the last reference does.
public final class TemporaryDirectory: Sendable {
    public let path: String

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

    /// Writes a file, makes its parents, and returns its path.
    @discardableResult
    public func write(_ name: String, _ bytes: some Collection<UInt8>, mode: mode_t = 0o644) throws(SystemError) -> String {
        let directory = try directory()
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

    @discardableResult
    public func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws(SystemError) -> String {
        try write(name, Array(text.utf8), mode: mode)
    }
}
