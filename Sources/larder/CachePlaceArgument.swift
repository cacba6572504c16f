import Caches
import Glibc
import LinuxIO

/// `CACHE:PATH` or a path of this host, on the command line of `cp` and `diff`.
enum CachePlaceArgument {
    /// `path` is relative to the cache's root and may be empty.
    case cache(CacheName, path: String)
    case host(String)

    /// As docker cp has it: what begins with `/` or `.` or holds no colon is a path of the host. Names of caches may hold both, so a
    /// cache that is there comes first; the longest name wins.
    /// - Parameter bare: a name without a colon means the cache too.
    init(_ text: String, in library: CacheLibrary, bare: Bool = false) throws {
        if bare, let name = CacheName(text), library.exists(try library.name(text)) || library.exists(name) {
            self = .cache(try library.name(text), path: "")
            return
        }
        let colons = text.indices.filter { text[$0] == ":" }
        for colon in colons.reversed() {
            guard let name = try? library.name(String(text[..<colon])), library.exists(name) else { continue }
            self = .cache(name, path: try Self.inside(text[text.index(after: colon)...]))
            return
        }
        guard let colon = colons.first, !text.hasPrefix("/"), !text.hasPrefix(".") else {
            self = .host(text)
            return
        }
        throw CacheError.missing(try library.name(String(text[..<colon])))
    }

    /// Without `.` and slashes that mean nothing. `..` is refused: it could only lead out.
    private static func inside(_ path: Substring) throws -> String {
        let parts = path.split(separator: "/").filter { $0 != "." }
        guard !parts.contains("..") else { throw Failure(.usage, "'\(path)': a path in a cache has no '..'") }
        // A slash at the end asks for what is in the directory.
        return parts.joined(separator: "/")
    }
}

/// A path taken apart into the directory that it is in and its last name.
struct LastName {
    let parent: String
    let name: String

    /// nil for the root, and what has no name of its own.
    init?(_ path: String) {
        var trimmed = Substring(path)
        while trimmed.count > 1 && trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        let slash = trimmed.lastIndex(of: "/")
        let name = slash.map { trimmed[trimmed.index(after: $0)...] } ?? trimmed
        guard !name.isEmpty, name != ".", name != ".." else { return nil }
        self.name = String(name)
        parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
    }
}
