import Glibc
import TestSupport

/// Looking at files from another process, so that a mount which does not answer cannot hold the test run.
enum Files {
    static func read(_ path: String) throws -> String {
        try Program.check(["cat", path], limit: 300)
    }

    static func exists(_ path: String) throws -> Bool {
        try Program.run(["test", "-e", path, "-o", "-L", path], limit: 300).status == 0
    }
}

extension TemporaryDirectory {
    func subdirectory(_ name: String) throws -> String {
        try Program.check(["mkdir", "-p", "\(path)/\(name)"])
        return "\(path)/\(name)"
    }
}
