import ArgumentParser
import Images
import OCI

struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "List, inspect, pin and remove the images that the store knows.",
        subcommands: [List.self, Inspect.self, Remove.self, Pin.self, Unpin.self], defaultSubcommand: List.self
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List known images and how much of each is here.")

        @OptionGroup var output: OutputOptions
        @OptionGroup var images: ImageOptions

        func run() async throws {
            try await images.settings().withLibrary(create: false) { library in
                let statuses = try await library.knownImages().map { library.status(of: $0) }.sorted { $0.reference < $1.reference }
                if output.json {
                    try Terminal.json(statuses)
                } else {
                    Terminal.table([["REFERENCE", "DIGEST", "PLATFORM", "LAYERS", "SIZE", "HERE"]] + statuses.map { status in
                        [status.reference, status.digest.short, status.platform, "\(status.layers.count)", status.size.bytesText, status.hereText]
                    })
                }
            }
        }
    }

    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an image layer by layer. Resolves it if it is not known.")

        @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
        var reference: String

        @OptionGroup var output: OutputOptions
        @OptionGroup var images: ImageOptions

        func run() async throws {
            try await images.withImage(reference, create: true) { library, image in
                let status = library.status(of: image)
                if output.json {
                    try Terminal.json(status)
                } else {
                    Terminal.output("\(status.reference)\n  digest    \(status.digest)\n  platform  \(status.platform)\n  created   \(status.created ?? "unknown")\n  size      \(status.size.bytesText) compressed\n  ChainID   \(status.chainID.map { "\($0)" } ?? "none")\n")
                    Terminal.table([["LAYER", "FORMAT", "SIZE", "FILES", "CONTENT HERE", "BLOB", "SEALED"]] + status.layers.map { layer in
                        [
                            layer.digest.short, layer.format ?? "?", layer.size.bytesText, layer.files.map { "\($0)" } ?? "?",
                            layer.contentBytes.map { "\((layer.contentBytesHere ?? 0).bytesText) of \($0.bytesText)" } ?? "?",
                            layer.blobHere ? "here" : "-", layer.sealed ? "yes" : "no",
                        ]
                    })
                }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Forget images and free what only they needed.",
            discussion: "A mount that still shows one fetches again what it needs."
        )

        @Argument(help: ArgumentHelp("Images.", valueName: "ref"))
        var references: [String]

        @OptionGroup var output: OutputOptions
        @OptionGroup var images: ImageOptions

        func run() async throws {
            let settings = try images.settings()
            try await settings.withLibrary(create: false) { library in
                try await Terminal.each(references, asJSON: output.json) { reference in
                    let report = try await library.remove(try settings.reference(reference))
                    return (report, "\(report.reference): removed \(report.objects) objects, \(report.bytes.bytesText)")
                }
            }
        }
    }
}

extension ImageStatus {
    /// `all`, or the share of content that is here as far as it is known.
    fileprivate var hereText: String {
        if complete { return "all" }
        let known = layers.compactMap(\.contentBytes).reduce(0, +)
        let here = layers.compactMap(\.contentBytesHere).reduce(0, +)
        return known == 0 ? "-" : "\(here.bytesText) of \(layers.contains { $0.contentBytes == nil } ? "more than " : "")\(known.bytesText)"
    }
}
