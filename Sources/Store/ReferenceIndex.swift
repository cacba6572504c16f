import FoundationEssentials
import OCI

/// The document `index.json`: entries that carry a full reference are ours, everything else is kept as it is.
struct ReferenceIndex {
    /// image-spec annotations.md.
    static let nameAnnotation = "org.opencontainers.image.ref.name"
    /// On an entry whose image nobody may evict.
    static let pinAnnotation = "vnd.larder.pinned"

    private var document: [String: JSONValue]
    private var manifests: [JSONValue]

    /// nil where the bytes are no image index.
    init?(decoding bytes: [UInt8]) {
        guard case .object(let document)? = try? JSONText.decode(JSONValue.self, from: bytes) else { return nil }
        switch document["manifests"] {
        case .array(let manifests): self.manifests = manifests
        // Go writes an empty list as null.
        case .null, nil: manifests = []
        default: return nil
        }
        self.document = document
    }

    /// Entries with a full reference and a descriptor that can be read, in the order of the file.
    var references: [(Reference, Descriptor)] {
        manifests.compactMap { entry in
            guard let name = Self.name(of: entry), let reference = Reference(name), reference.description == name,
                let descriptor = Self.descriptor(entry)
            else { return nil }
            return (reference, descriptor)
        }
    }

    /// What entries name that are not ours: other tools rely on it.
    var foreignDescriptors: [Descriptor] {
        manifests.filter { entry in
            guard let name = Self.name(of: entry), let reference = Reference(name) else { return true }
            return reference.description != name
        }.compactMap { Self.descriptor($0) }
    }

    func isPinned(_ reference: Reference) -> Bool {
        manifests.contains { Self.name(of: $0) == reference.description && $0["annotations"]?[Self.pinAnnotation] != nil }
    }

    /// False where that is so already; nil where nothing has that name.
    mutating func pin(_ reference: Reference, _ isPinned: Bool) throws -> Bool? {
        guard let descriptor = references.first(where: { $0.0 == reference })?.1 else { return nil }
        guard self.isPinned(reference) != isPinned else { return false }
        return try set(reference, descriptor, isPinned: isPinned)
    }

    /// Names `descriptor` by `reference`, and nothing else by it. False where that is so already. A pin is on the name: it stays.
    mutating func set(_ reference: Reference, _ descriptor: Descriptor) throws -> Bool {
        try set(reference, descriptor, isPinned: isPinned(reference))
    }

    private mutating func set(_ reference: Reference, _ descriptor: Descriptor, isPinned: Bool) throws -> Bool {
        var descriptor = descriptor
        descriptor.annotations = (descriptor.annotations ?? [:]).merging([Self.nameAnnotation: reference.description]) { $1 }
        descriptor.annotations?[Self.pinAnnotation] = isPinned ? "true" : nil
        let entry = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(descriptor))
        let places = manifests.indices.filter { Self.name(of: manifests[$0]) == reference.description }
        guard let place = places.first else {
            manifests.append(entry)
            return true
        }
        if places.count == 1 && manifests[place] == entry { return false }
        manifests[place] = entry
        for extra in places.dropFirst().reversed() { manifests.remove(at: extra) }
        return true
    }

    /// False where nothing had that name.
    mutating func remove(_ reference: Reference) -> Bool {
        let count = manifests.count
        manifests.removeAll { Self.name(of: $0) == reference.description }
        return manifests.count != count
    }

    func encoded() throws -> [UInt8] {
        var document = document
        document["manifests"] = .array(manifests)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(JSONValue.object(document)))
    }

    private static func name(of entry: JSONValue) -> String? { entry["annotations"]?[nameAnnotation]?.text }

    private static func descriptor(_ entry: JSONValue) -> Descriptor? {
        guard let bytes = try? JSONEncoder().encode(entry) else { return nil }
        return try? JSONDecoder().decode(Descriptor.self, from: bytes)
    }
}
