import FoundationEssentials
import FuseBridge
import Glibc

/// A Larder mount as the kernel's mount table has it.
struct LarderMount: Sendable {
    let path: String

    static func all() throws -> [LarderMount] {
        try FuseMounts.paths(ofType: "fuse.larder").map { LarderMount(path: $0) }
    }

    /// The path without symlinks, as the mount table has it. A mount whose daemon has died cannot be resolved itself, but
    /// its parent can.
    static func resolve(_ path: String) -> String {
        if let resolved = realpath(path, nil) {
            defer { free(resolved) }
            return String(cString: resolved)
        }
        var trimmed = Substring(path)
        while trimmed.count > 1 && trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        let slash = trimmed.lastIndex(of: "/")
        let parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
        let name = slash.map { String(trimmed[trimmed.index(after: $0)...]) } ?? String(trimmed)
        guard let resolved = realpath(parent, nil) else { return path }
        defer { free(resolved) }
        let base = String(cString: resolved)
        return base == "/" ? "/" + name : base + "/" + name
    }

    static func unmount(_ path: String, lazily: Bool) throws { try FuseMounts.unmount(resolve(path), lazily: lazily) }
}
