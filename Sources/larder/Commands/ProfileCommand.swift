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

    @OptionGroup var output: OutputOptions
    @OptionGroup var images: ImageOptions

    func run() async throws {
        try await images.settings().withLibrary(create: false) { library in
            let reports = try await library.knownImages().compactMap { try library.profileReport(of: $0) }.sorted { $0.reference < $1.reference }
            if output.json { return try Terminal.json(reports) }
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

    @OptionGroup var output: OutputOptions
    @OptionGroup var images: ImageOptions

    func run() async throws {
        try await images.withImage(reference, create: false) { library, image in
            guard let report = try library.profileReport(of: image) else { throw Failure.noProfile(image) }
            if output.json { try Terminal.json(report) } else { report.print() }
        }
    }
}

struct ProfileRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Forget the profiles of images.")

    @Argument(help: ArgumentHelp("Images.", valueName: "ref"))
    var references: [String]

    @OptionGroup var images: ImageOptions

    func run() async throws {
        let settings = try images.settings()
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

    @OptionGroup var images: ImageOptions

    func run() async throws {
        try await images.withImage(reference, create: false) { library, image in
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

    @OptionGroup var images: ImageOptions

    func run() async throws {
        try await images.withImage(reference, create: true) { library, image in
            let bytes = try ProfileFile.read(file == "-" ? "/dev/stdin" : file)
            do { try library.setProfile(bytes, for: image) } catch let error as ProfileError { throw Failure(.failed, "\(file): \(error)") }
        }
    }
}

enum ProfileFile {
    /// The bytes of a file that may be a pipe, up to one more than a profile may have: so what is too large can be told.
    static func read(_ path: String) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        do throws(SystemError) {
            return try file.readToEnd(limit: Store.profileLimit + 1)
        } catch {
            throw SystemError("read", path: path, code: error.code)
        }
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
