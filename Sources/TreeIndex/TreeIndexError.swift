/// Why a tree cannot be built, merged or read. The texts name the path or the record.
public enum TreeIndexError: Error, Equatable, CustomStringConvertible {
    /// A `..` component: the path could leave the tree.
    case escapes(path: [UInt8])
    /// An empty or over-long name or target, a NUL in a path, a reserved `.wh.` name.
    case badPath([UInt8], String)
    /// `blocker` exists in this layer, is no directory, and is a parent of `path`.
    case parentIsNoDirectory(path: [UInt8], blocker: [UInt8])
    /// A hard link to itself, to a directory, or in a ring of hard links.
    case badLink(path: [UInt8], target: [UInt8], String)
    /// No layer up to the link's own has what the link names.
    case unresolvedLink(path: [UInt8], target: [UInt8])
    /// Sizes, data runs, attributes or content that contradict each other.
    case badContent(path: [UInt8], String)
    /// A span or chunk that does not follow the one before.
    case badSpan(String)
    case tooMany(String, limit: Int)
    /// The bytes are no valid index.
    case damaged(String)
    /// An index in the format of another version of this program: nothing is wrong with it, and it has to be made again.
    case otherVersion(UInt32)

    public var description: String {
        switch self {
        case .escapes(let path):
            "\(printable(path)): the path has a '..' component and could leave the tree"
        case .badPath(let path, let problem):
            "\(printable(path)): \(problem)"
        case .parentIsNoDirectory(let path, let blocker):
            "\(printable(path)): its parent \(printable(blocker)) is in the same layer and is no directory"
        case .badLink(let path, let target, let problem):
            "\(printable(path)): hard link to \(printable(target)): \(problem)"
        case .unresolvedLink(let path, let target):
            "\(printable(path)): hard link to \(printable(target)), which is neither in this layer nor in one below"
        case .badContent(let path, let problem):
            "\(printable(path)): \(problem)"
        case .badSpan(let problem):
            "span table: \(problem)"
        case .tooMany(let what, let limit):
            "more than \(limit) \(what)"
        case .damaged(let problem):
            "damaged index: \(problem)"
        case .otherVersion(let version):
            "an index of format version \(version); this program reads and writes version \(IndexFormat.version)"
        }
    }
}

/// A path for a message: quoted, at most 200 bytes of it, everything but printable ASCII as `\xNN`.
func printable(_ path: some Collection<UInt8>) -> String {
    var text: [UInt8] = [UInt8(ascii: "'")]
    let digits = Array("0123456789abcdef".utf8)
    for byte in path.prefix(200) {
        if byte >= 0x20, byte < 0x7f, byte != UInt8(ascii: "\\"), byte != UInt8(ascii: "'") {
            text.append(byte)
        } else {
            text += [UInt8(ascii: "\\"), UInt8(ascii: "x"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    text.append(UInt8(ascii: "'"))
    return String(decoding: text, as: UTF8.self) + (path.count > 200 ? "..." : "")
}
