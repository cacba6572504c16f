/// A member's path as the image specification reads it: no `./` or `/` in front, no empty or `.` components.
struct LayerPath {
    let components: [ArraySlice<UInt8>]

    /// - Throws: `.escapes` for a `..` component, `.badPath` for a NUL, an over-long path or component.
    init(_ raw: [UInt8], limits: TreeLimits) throws(TreeIndexError) {
        guard raw.count <= IndexFormat.pathLimit else { throw .badPath(raw, "the path is longer than \(IndexFormat.pathLimit) bytes") }
        guard !raw.contains(0) else { throw .badPath(raw, "the path has a NUL byte") }
        var components: [ArraySlice<UInt8>] = []
        for component in raw.split(separator: UInt8(ascii: "/")) {
            if component.elementsEqual(Self.dot) { continue }
            if component.elementsEqual(Self.dotDot) { throw .escapes(path: raw) }
            guard component.count <= IndexFormat.nameLimit else {
                throw .badPath(raw, "a component is longer than \(IndexFormat.nameLimit) bytes")
            }
            components.append(component)
        }
        guard components.count <= min(limits.depth, IndexFormat.depthLimit) else {
            throw .badPath(raw, "the path has more than \(limits.depth) components")
        }
        self.components = components
    }

    /// The components joined by `/`: the same bytes for every spelling of the same path.
    var normalised: [UInt8] {
        Array(components.joined(separator: [UInt8(ascii: "/")]))
    }

    private static let dot: [UInt8] = [UInt8(ascii: ".")]
    private static let dotDot: [UInt8] = [UInt8(ascii: "."), UInt8(ascii: ".")]
}

/// What the last component of a member's path says (image-spec layer.md, "Whiteouts").
enum Marker {
    /// An ordinary name.
    case none
    /// `.wh.NAME`: lower layers' NAME is deleted.
    case whiteout(ArraySlice<UInt8>)
    /// `.wh..wh..opq`: everything that lower layers have in the directory is deleted.
    case opaque
    /// `.wh..wh.` and anything else, also as a parent: the bookkeeping of aufs, which is no content.
    case bookkeeping

    init(_ path: LayerPath, of raw: [UInt8]) throws(TreeIndexError) {
        for (position, component) in path.components.enumerated() where component.starts(with: Self.prefix) {
            let isLast = position == path.components.count - 1
            if isLast, component.elementsEqual(Self.opaqueName) {
                self = .opaque
                return
            }
            if component.starts(with: Self.bookkeepingPrefix) {
                self = .bookkeeping
                return
            }
            guard isLast else { throw .badPath(raw, "names that begin with '.wh.' are reserved for whiteouts") }
            let name = component.dropFirst(Self.prefix.count)
            let isDots = name.count <= 2 && name.allSatisfy { $0 == UInt8(ascii: ".") }
            guard !isDots else { throw .badPath(raw, "a whiteout that names no file") }
            self = .whiteout(name)
            return
        }
        self = .none
    }

    static let prefix = Array(".wh.".utf8)
    private static let bookkeepingPrefix = Array(".wh..wh.".utf8)
    private static let opaqueName = Array(".wh..wh..opq".utf8)
}
