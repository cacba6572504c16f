import TestSupport
import Testing

extension EndToEnd {
    /// SOCI's indexes, made and read by an encoder and a decoder that share nothing with ours (Tests/Fixtures/soci-encode).
    @Suite struct SOCITests {
        @Test(arguments: ["1", "2"]) func anImageIsReadThroughItsSOCIIndex(version: String) throws {
            let site = try IndexedRegistry()
            defer { site.registry.stop() }
            let larder = try MountedLarder()
            let reference = "\(site.host)/soci-\(version)/small:gzip"
            #expect(try Fixtures.differences(site.truth, larder.rootfs(reference)).isEmpty)
            let status = try Files.read("\(larder.image(reference))/status.json")
            #expect(status.contains("\"soci\""), "\(status)")
            // What the index describes was not asked for whole.
            let described = larder.log.split(separator: "\n").filter { $0.contains("source=soci") }
                .compactMap { $0.split(separator: "layer=").last?.prefix(71) }
            #expect(described.count >= 2, "\(larder.log)")
            for layer in described {
                let answers = site.registry.transfers.filter { $0.path.hasSuffix("soci-\(version)/small/blobs/\(layer)") && $0.bytes > 0 }
                #expect(!answers.isEmpty && answers.contains { $0.status == 206 }, "\(layer): \(answers)")
            }
            // Everything that soci said is proven in the end: spans, tree, and what follows the end of the archive.
            #expect(try larder.larder("pull", reference).status == 0)
            let verified = try larder.larder("verify")
            #expect(verified.status == 0, "\(verified.text)\(verified.errors)")
            #expect(!larder.log.contains("is not what its index"), "\(larder.log)")
        }

        @Test func anotherDecoderReadsOurSOCIIndex() throws {
            let site = try IndexedRegistry()
            defer { site.registry.stop() }
            let maker = try TemporaryDirectory()
            let words = ["index", "push", "--format", "soci", "--store", try maker.subdirectory("store"), "\(site.host)/bare/small:gzip"]
            try Program.check([LarderCommand.binary] + words, environment: LarderCommand.environment(home: maker.path))
            let report = try Program.check(["\(Checkout.fixtures)/soci-encode", "verify", "http://\(site.host)/bare/small:gzip"])
            #expect(report.contains("\"members\": "), "\(report)")
            // And so do we, on a host that has never seen the image.
            let larder = try MountedLarder()
            #expect(try Fixtures.differences(site.truth, larder.rootfs("\(site.host)/bare/small:gzip")).isEmpty)
            #expect(larder.log.contains("source=soci"), "\(larder.log)")
        }

        /// Digests of spans that do not hold, and a tree that is not the layer's.
        @Test(arguments: ["digest", "names"]) func aSOCIIndexThatLiesIsFoundOut(damage: String) throws {
            let site = try IndexedRegistry(damage: damage)
            defer { site.registry.stop() }
            let larder = try MountedLarder()
            let reference = "\(site.host)/soci-1/small:gzip"
            let shown = try Fixtures.differences(site.truth, larder.rootfs(reference))
            #expect(!shown.contains(": sha256: "), "wrong bytes were served: \(shown)")
            // Another process finds out, and who looks the image up from then on sees what is in it.
            #expect(try larder.larder("pull", reference).status == 0)
            #expect(Wait.until(300) { (try? Fixtures.differences(site.truth, larder.rootfs(reference)))?.isEmpty ?? false }, "\(larder.log)")
            let log = larder.log + ((try? Files.read("\(larder.store)/larder.log")) ?? "")
            larder.stop()
            let again = try MountedLarder(store: larder.store)
            #expect(try Fixtures.differences(site.truth, again.rootfs(reference)).isEmpty, "\(log)\n\(again.log)")
        }
    }
}
