import ArgumentParser
import FoundationEssentials
import Glibc
import Images
import LinuxIO
import OCI
import Store

struct ProfileCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "profile",
        abstract: "Record and look at what workloads read of images, in order.",
        discussion: """
            An image with a profile is fetched in that order as soon as its tree is looked into, in few large requests, here and
            wherever `larder index push` has sent the profile. Without one, a mounted image is recorded at its first use
            (setting `profiles`: auto or off). What was recorded by command is replaced by command only.
            """,
        subcommands: [ProfileRecord.self, ProfileList.self, ProfileShow.self, ProfileRemove.self, ProfileExport.self, ProfileImport.self],
        defaultSubcommand: ProfileList.self
    )
}

struct ProfileList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the images that have a profile.")

    @Flag(name: .long, help: "Print JSON.")
    var json = false

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        try await Settings(store: store, remote: remote).withLibrary(create: false) { library in
            let reports = try await library.knownImages().compactMap { try library.profileReport(of: $0) }.sorted { $0.reference < $1.reference }
            if json { return try Terminal.json(reports) }
            Terminal.list(["REFERENCE", "DIGEST", "ORIGIN", "FILES", "READ", "CREATED"], reports.map { report in
                [report.reference, report.digest.short, report.origin.rawValue, "\(report.files)", report.shareText, report.created ?? "-"]
            })
        }
    }
}

struct ProfileShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show an image's profile layer by layer.")

    @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
    var reference: String

    @Flag(name: .long, help: "Print JSON.")
    var json = false

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        let settings = try Settings(store: store, remote: remote)
        try await settings.withLibrary(create: false) { library in
            let image = try await library.image(try settings.reference(reference))
            guard let report = try library.profileReport(of: image) else { throw Failure.noProfile(image) }
            if json { try Terminal.json(report) } else { report.print() }
        }
    }
}

struct ProfileRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Forget the profiles of images.")

    @Argument(help: ArgumentHelp("Images.", valueName: "ref"))
    var references: [String]

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        let settings = try Settings(store: store, remote: remote)
        try await settings.withLibrary(create: false) { library in
            for reference in references {
                let image = try await library.image(try settings.reference(reference))
                guard try library.removeProfile(of: image) else { throw Failure.noProfile(image) }
            }
        }
    }
}

struct ProfileExport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "export", abstract: "Write an image's profile to a file, or to standard output.")

    @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
    var reference: String

    @Argument(help: ArgumentHelp("The file.", valueName: "file"), completion: .file())
    var file: String?

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        let settings = try Settings(store: store, remote: remote)
        try await settings.withLibrary(create: false) { library in
            let image = try await library.image(try settings.reference(reference))
            guard let bytes = try library.profileBytes(of: image) else { throw Failure.noProfile(image) }
            guard let file, file != "-" else { return Terminal.write(String(decoding: bytes, as: UTF8.self), to: STDOUT_FILENO) }
            try OwnedDescriptor.open(file, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(bytes)
        }
    }
}

struct ProfileImport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Make a file that `profile export` or `mount --record-profile` wrote the image's profile."
    )

    @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
    var reference: String

    @Argument(help: ArgumentHelp("The file; - for standard input.", valueName: "file"), completion: .file())
    var file: String

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        let settings = try Settings(store: store, remote: remote)
        try await settings.withLibrary(create: true) { library in
            let image = try await library.image(try settings.reference(reference))
            let bytes = try ProfileFile.read(file == "-" ? "/dev/stdin" : file)
            do { try library.setProfile(bytes, for: image) } catch let error as ProfileError { throw Failure(.failed, "\(file): \(error)") }
        }
    }
}

enum ProfileFile {
    /// The bytes of a file that may be a pipe, up to one more than a profile may have.
    static func read(_ path: String) throws -> [UInt8] {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= Store.profileLimit {
            let count = Glibc.read(file.raw, &block, block.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read", path: path) }
            if count == 0 { break }
            bytes += block.prefix(count)
        }
        return bytes
    }
}

extension Failure {
    static func noProfile(_ image: Image) -> Failure {
        Failure(.notFound, "\(image.reference) has no access profile; `larder profile record` makes one")
    }
}

extension ProfileReport {
    var shareText: String {
        contentBytes == 0 ? bytes.bytesText : "\(bytes.bytesText) of \(contentBytes.bytesText) (\(fixed(100 * Double(bytes) / Double(contentBytes), 1)) %)"
    }

    func print() {
        Terminal.output("\(reference)\n  digest   \(digest)\n  origin   \(origin.rawValue)\n  created  \(created ?? "unknown")\n  lasted   \(fixed(seconds, 1)) s\n  read     \(files) files, \(shareText)\n")
        Terminal.list(["LAYER", "READ", "OF", "SPANS", "TO FETCH"], layers.map { layer in
            [
                layer.digest.short, layer.bytes.bytesText, layer.contentBytes.bytesText,
                layer.spans.map { "\($0) of \(layer.spansInAll ?? 0)" } ?? "?", layer.sourceBytes?.bytesText ?? "?",
            ]
        })
    }
}
