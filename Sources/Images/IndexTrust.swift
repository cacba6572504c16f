/// Whose word counts for what is in a layer before all of it was read.
public enum IndexTrust: String, Sendable, CaseIterable {
    /// What this store has, also what it took from registries earlier. No registry is asked for indexes.
    case local
    /// Indexes that come with an image in its registry as well: who may push there could push another image, too.
    case registry
    /// Neither: what came from a registry is not even used where it is here, until the whole layer has proven it.
    case none
}

/// Where the index of a layer comes from, as `status.json` and messages call it.
public enum IndexSource: String, Sendable {
    /// Larder has read the whole layer.
    case stream
    /// The layer's maker has put it into the blob.
    case tableOfContents = "table-of-contents"
    /// Another Larder has put it beside the image.
    case registry
    /// A SOCI index beside the image.
    case soci
}

extension LayerTree {
    public var indexSource: IndexSource {
        if format.hasTableOfContents { return .tableOfContents }
        if contentKey == LayerUnpacker.contentKey(of: layer.descriptor.digest) { return .stream }
        return view.spanCount > 0 && view.span(0).flags.contains(.digestOfSource) ? .soci : .registry
    }

    /// Whether somebody outside says what is in the layer, and not the layer itself.
    var isAdopted: Bool { indexSource == .registry || indexSource == .soci }
}
