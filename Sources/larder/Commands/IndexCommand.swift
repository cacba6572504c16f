import ArgumentParser
import Images
import OCI

struct IndexCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "index",
        abstract: "Put indexes of an image's layers beside it in its registry, so that others start at once.",
        discussion: """
            An index says what files a layer has, and how single pieces of it are fetched and decompressed. Larder makes one when
            it first reads a layer, which takes the whole layer. Pushed beside the image (as an OCI artifact; the image itself is
            not changed), it spares that to every other host. With it goes the image's access profile, if there is one.

            Indexes from registries are used by default; --index-trust local or none turns that off.
            """,
        subcommands: [IndexPush.self, IndexList.self, IndexRemove.self], defaultSubcommand: IndexList.self
    )
}

struct IndexPush: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push", abstract: "Push the indexes of an image's layers, and its access profile.",
        discussion: "Layers that this store has not read yet are fetched and read first. The login is that of docker and podman."
    )

    @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
    var reference: String

    @Option(name: .long, help: ArgumentHelp("larder, or soci for hosts with soci-snapshotter.", valueName: "format"), completion: .list(IndexForm.allCases.map(\.rawValue)))
    var format = IndexForm.larder

    @Flag(name: .long, inversion: .prefixedNo, help: "Push the image's access profile, if there is one.")
    var profile = true

    @OptionGroup var progress: ProgressOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var images: ImageOptions

    func run() async throws {
        let settings = try images.quietSettings()
        let reference = try settings.reference(reference)
        let bars = progress.bars
        try await settings.withLibrary(create: true, observer: { bars?.show($0) }) { library in
            // What the tag means now is what others will get.
            let image = try await library.image(reference, refresh: true)
            let report = try await library.pushIndexes(of: image, as: format, profile: profile)
            if output.json { return try Terminal.json(report) }
            if !progress.quiet {
                for layer in report.layers { Terminal.error("\(layer.layer.short): index of \(layer.size.bytesText)") }
                for layer in report.omitted { Terminal.error("\(layer.layer.short): none, \(layer.reason)") }
                if let profile = report.profile { Terminal.error("access profile of \(profile.bytesText)") }
            }
            Terminal.output("\(report.reference) \(report.digest)")
        }
    }
}

struct IndexList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the indexes that are beside an image in its registry.")

    @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
    var reference: String

    @OptionGroup var output: OutputOptions
    @OptionGroup var images: ImageOptions

    func run() async throws {
        try await images.withImage(reference, create: true) { library, image in
            let reports = try await library.indexes(of: image)
            if output.json { return try Terminal.json(reports) }
            Terminal.table([["DIGEST", "FORMAT", "LAYERS", "SIZE", "PROFILE"]] + reports.map { report in
                ["\(report.digest)", report.format, "\(report.layers.count)", report.layers.reduce(0) { $0 + $1.size }.bytesText, report.profile?.bytesText ?? "-"]
            })
        }
    }
}

struct IndexRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove indexes that are beside an image in its registry.",
        discussion: "Stores that use them already go on doing so."
    )

    @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
    var reference: String

    @Argument(help: ArgumentHelp("Digests as `larder index ls` shows them; without any, all of one format.", valueName: "digest"))
    var digests: [String] = []

    @Option(name: .long, help: ArgumentHelp("Which to remove where no digest is given: larder or soci.", valueName: "format"), completion: .list(IndexForm.allCases.map(\.rawValue)))
    var format = IndexForm.larder

    @OptionGroup var output: OutputOptions
    @OptionGroup var images: ImageOptions

    func run() async throws {
        let wanted = try digests.map { text in
            guard let digest = Digest(text) else { throw Failure(.usage, "'\(text)' is no digest; use sha256:HEX") }
            return digest
        }
        try await images.withImage(reference, create: true) { library, image in
            let reports = try await library.indexes(of: image)
            if let unknown = wanted.first(where: { digest in !reports.contains { $0.digest == digest } }) {
                throw Failure(.notFound, "\(image.reference): \(unknown) is no index of it; see larder index ls")
            }
            let removed = reports.filter { wanted.isEmpty ? $0.format == format.rawValue : wanted.contains($0.digest) }
            try await Terminal.each(removed, asJSON: output.json) { report in
                try await library.removeIndex(report.digest, of: image)
                return (report, "\(report.reference) removed \(report.digest)")
            }
        }
    }
}

extension IndexForm: ExpressibleByArgument {}
