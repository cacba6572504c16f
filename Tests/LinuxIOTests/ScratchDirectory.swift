import Glibc
import LinuxIO

/// A fresh directory that goes with this object.
final class ScratchDirectory: Sendable {
    let path: String
    let directory: Directory

    init(in parent: String = "/tmp") throws {
        var template = Array("\(parent)/larder-test-XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else { throw SystemError("mkdtemp") }
        path = String(cString: made)
        directory = try Directory(path)
    }

    deinit {
        try? directory.removeContents()
        rmdir(path)
    }

    func write(_ name: String, _ text: String) throws {
        let file = try directory.open(name, O_WRONLY | O_CREAT | O_TRUNC)
        try Array(text.utf8).withUnsafeBytes { try file.write($0) }
    }

    func text(_ name: String) throws -> String? {
        try directory.openIfPresent(name)?.readAll(limit: 1 << 20).map { String(decoding: $0, as: UTF8.self) }
    }
}
