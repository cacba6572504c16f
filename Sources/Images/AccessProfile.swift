import FoundationEssentials
import OCI

/// What a workload reads of an image, in the order of first touch: what to fetch early the next time, here or on any host.
///
/// Written as JSON. Positions are in the layers' content spaces, which mean the same in every store: that of a tar layer is
/// its tar (`tar`), that of a layer with a table of contents its files in the order of the blob (`packed`).
public struct AccessProfile: Sendable, Equatable {
    public static let mediaType = "application/vnd.larder.profile.v1+json"
    static let layerLimit = 1000

    /// Who says so.
    public enum Origin: String, Codable, Sendable {
        /// `larder profile record`.
        case command
        /// The first use of a mounted image.
        case mount
        /// The layer's maker: eStargz's prioritized files.
        case landmark
    }

    public struct Layer: Codable, Sendable, Equatable {
        public var digest: Digest
        /// `tar` or `packed`.
        public var space: String
        /// Size of the layer's content space.
        public var contentBytes: UInt64
    }

    public struct Touch: Sendable, Equatable {
        /// Position in `layers`.
        public var layer: Int
        public var offset: UInt64
        public var length: UInt64
    }

    public var origin: Origin
    /// RFC 3339; nil where nobody said.
    public var created: String?
    /// For how long was recorded.
    public var seconds: Double
    /// How many files were read.
    public var files: Int
    public private(set) var layers: [Layer]
    /// In order of time.
    public private(set) var touches: [Touch]

    /// Bytes of content that were touched, in blocks of `AccessRecorder.blockSize`.
    public var bytes: UInt64 { touches.reduce(0) { $0 &+ $1.length } }

    /// - Precondition: every touch lies inside of a layer in `layers`.
    init(origin: Origin, created: String? = nil, seconds: Double = 0, files: Int = 0, layers: [Layer], touches: [Touch]) {
        self.origin = origin
        self.created = created
        self.seconds = seconds
        self.files = files
        self.layers = layers
        self.touches = touches
    }
}

/// Why a document is no profile.
public struct ProfileError: Error, CustomStringConvertible {
    public let description: String

    init(_ reason: String) { description = "not an access profile: \(reason)" }
}

extension AccessProfile {
    private struct Document: Codable {
        var mediaType: String
        var origin: Origin
        var created: String?
        var seconds: Double?
        var files: Int?
        var layers: [Layer]
        /// Layer, offset and length by turns.
        var touches: [UInt64]
    }

    /// Reads a profile that may come from anybody.
    /// - Throws: `ProfileError` where it is not well formed, too large, or speaks of content outside of its own layers.
    public init(decoding bytes: [UInt8], limit: Int = 8 << 20) throws(ProfileError) {
        guard bytes.count <= limit else { throw ProfileError("\(bytes.count) bytes; at most \(limit) are read") }
        let document: Document
        do { document = try JSONText.decode(Document.self, from: bytes) } catch { throw ProfileError("its JSON has not the form that is expected") }
        guard document.mediaType == Self.mediaType else { throw ProfileError("its media type is '\(document.mediaType.prefix(100))'") }
        guard document.layers.count <= Self.layerLimit, Set(document.layers.map(\.digest)).count == document.layers.count else {
            throw ProfileError("too many layers, or one twice")
        }
        guard document.layers.allSatisfy({ $0.space == "tar" || $0.space == "packed" }) else { throw ProfileError("a content space that is not known") }
        guard document.touches.count % 3 == 0, document.touches.count <= 3 * AccessRecorder.touchLimit else { throw ProfileError("its list of touches is too long, or cut short") }
        touches = []
        touches.reserveCapacity(document.touches.count / 3)
        for index in stride(from: 0, to: document.touches.count, by: 3) {
            let (layer, offset, length) = (document.touches[index], document.touches[index + 1], document.touches[index + 2])
            guard layer < UInt64(document.layers.count), length > 0 else { throw ProfileError("touch \(index / 3) speaks of no layer, or of nothing") }
            let (end, overflow) = offset.addingReportingOverflow(length)
            guard !overflow, end <= document.layers[Int(layer)].contentBytes else { throw ProfileError("touch \(index / 3) lies outside of its layer") }
            touches.append(Touch(layer: Int(layer), offset: offset, length: length))
        }
        origin = document.origin
        created = document.created.map { String($0.prefix(64)) }
        seconds = document.seconds.map { $0 >= 0 && $0 < 1e9 ? $0 : 0 } ?? 0
        files = max(0, document.files ?? 0)
        layers = document.layers
    }

    /// The document: the same profile gives the same bytes.
    public var encoded: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return Array(try encoder.encode(Document(
                mediaType: Self.mediaType, origin: origin, created: created, seconds: seconds, files: files, layers: layers,
                touches: touches.flatMap { [UInt64($0.layer), $0.offset, $0.length] }
            ))) + [UInt8(ascii: "\n")]
        }
    }
}

extension AccessProfile {
    /// What a recorder saw of the layers of a tree.
    init(_ recorder: AccessRecorder, of layers: [LayerTree], origin: Origin) {
        let (found, files) = recorder.summary
        var places: [Int: Int] = [:]
        var named: [Layer] = []
        var touches: [Touch] = []
        touches.reserveCapacity(found.count)
        for touch in found {
            let digest = layers[touch.slot].layer.descriptor.digest
            if places[touch.slot] == nil {
                // An image may have a layer twice.
                if let known = named.firstIndex(where: { $0.digest == digest }) {
                    places[touch.slot] = known
                } else {
                    places[touch.slot] = named.count
                    named.append(Layer(layers[touch.slot]))
                }
            }
            touches.append(Touch(layer: places[touch.slot] ?? 0, offset: touch.content.lowerBound, length: touch.content.upperBound - touch.content.lowerBound))
        }
        self.init(
            origin: origin, created: Date.now.formatted(.iso8601), seconds: Self.seconds(.now - recorder.started), files: files, layers: named, touches: touches)
    }

    private static func seconds(_ duration: Duration) -> Double {
        (Double(duration.components.seconds) * 10 + Double(duration.components.attoseconds / 100_000_000_000_000_000)) / 10
    }
}

extension AccessProfile.Layer {
    /// Whether positions in the one mean the same in the other. A layer's digest decides its tar, however long an index says that is; a
    /// packed space also depends on the table of contents.
    func hasContent(of other: Self) -> Bool { digest == other.digest && space == other.space && (space == "tar" || contentBytes == other.contentBytes) }

    init(_ tree: LayerTree) {
        self.init(digest: tree.layer.descriptor.digest, space: tree.format.hasTableOfContents ? "packed" : "tar", contentBytes: tree.view.contentSize)
    }
}
