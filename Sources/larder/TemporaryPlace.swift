import Glibc
import LinuxIO

/// New files and directories with names that nobody else has, in $TMPDIR or else /tmp.
enum TemporaryPlace {
    /// An empty file, readable by its owner alone.
    static func file(_ prefix: String) throws(SystemError) -> String {
        try make(prefix, "mkstemp") { template in
            let descriptor = mkstemp(template)
            guard descriptor >= 0 else { return false }
            close(descriptor)
            return true
        }
    }

    /// A directory for its owner alone.
    static func directory(_ prefix: String) throws(SystemError) -> String {
        try make(prefix, "mkdtemp") { mkdtemp($0) != nil }
    }

    private static func make(_ prefix: String, _ call: String, _ body: (UnsafeMutablePointer<CChar>) -> Bool) throws(SystemError) -> String {
        let folder = getenv("TMPDIR").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        // Absolute, because programs that are given it may work elsewhere.
        let path = Settings.absolute("\(folder)/\(prefix).XXXXXX")
        var template = Array(path.utf8CString)
        let isMade = template.withUnsafeMutableBufferPointer { $0.baseAddress.map(body) ?? false }
        guard isMade else { throw SystemError(call, path: path) }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
