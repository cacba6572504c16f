import TestSupport

/// A registry that can be written to, with the fixtures' small image in every form: `bare/small:FORM` as it is, `own/small:gzip`
/// with Larder's index, `soci-1/small:gzip` and `soci-2/small:gzip` with SOCI indexes of another encoder's making.
final class IndexedRegistry: Sendable {
    // Set up once; to stop it is its owner's business.
    nonisolated(unsafe) let registry: RealRegistry
    let fixtures: Fixtures
    private let storage: TemporaryDirectory

    var host: String { registry.host }
    var truth: String { fixtures.truth("small") }

    /// - Parameter damage: what is wrong with the SOCI indexes (see soci-encode).
    init(damage: String? = nil) throws {
        fixtures = try Fixtures.shared()
        storage = try TemporaryDirectory()
        registry = try RealRegistry(storage: storage.subdirectory("registry"), isWritable: true)
        for (tag, names) in [("gzip", ["bare", "own", "soci-1", "soci-2"]), ("estargz", ["bare"]), ("zstdchunked", ["bare"])] {
            for name in names {
                try Program.check([
                    "skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci:\(fixtures.layouts)/small:\(tag)",
                    "docker://\(host)/\(name)/small:\(tag)",
                ])
            }
        }
        let environment = LarderCommand.environment(home: try storage.subdirectory("home"))
        let push = [LarderCommand.binary, "index", "push", "--store", try storage.subdirectory("store"), "\(host)/own/small:gzip"]
        try Program.check(push, environment: environment)
        for version in ["1", "2"] {
            try Program.check(
                ["\(Checkout.fixtures)/soci-encode", "push", "http://\(host)/soci-\(version)/small:gzip", "--index", version, "--span", "400000"]
                    + (damage.map { ["--damage", $0] } ?? []))
        }
    }
}
