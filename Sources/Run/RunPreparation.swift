import CLinux
import Caches
import Glibc
import LinuxIO

/// All of a run that needs no lease: errors in it are found before anybody is waited for. Holds secrets, in memory alone.
struct RunPreparation: Sendable {
    var plan: NamespacePlan
    var environment: EnvironmentBlock
    var command: [[UInt8]]
    /// Sockets that the command's ssh mounts will listen on.
    var agents: [Agent] = []
    var hostEnvironment: EnvironmentBlock
    /// What is worth saying: secrets and agents that nobody gave.
    var notes: [String] = []

    struct Agent: Sendable {
        var source: SSHSource
        var listener: OwnedDescriptorBox
    }

    private static let harmless = larder_attr_nosuid | larder_attr_nodev | larder_attr_readonly

    init(_ request: RunRequest, _ setting: RunSetting, _ mounts: RunMounts, _ sources: SourceTable) throws {
        command = request.command
        environment = setting.environment
        hostEnvironment = request.environment
        let (uid, gid) = (geteuid(), getegid())
        plan = NamespacePlan(
            authority: larder_has_mount_capability() != 0 ? .privileged : .user(uid: uid, gid: gid), root: setting.root.map { Array($0.utf8) },
            workingDirectory: Array(setting.workingDirectory.utf8), scratch: Array("/tmp".utf8))
        let current = umask(0)
        umask(current)
        plan.umask = UInt32(current)
        plan.descriptorLimit = request.descriptorLimit

        try addPresets(mounts, setting)
        let secrets = SecretSources(try request.secrets.map { text throws(MountSyntaxError) in try SecretSource(parsing: text) }, environment: request.environment.variables)
        let agentSources = try SSHSource.parse(request.ssh)
        for (spec, place) in mounts.others {
            switch spec.type {
            case .bind: try addBind(spec, place ?? "/", sources)
            case .tmpfs:
                let attributes = larder_attr_nosuid | (spec.readOnly ? larder_attr_readonly : 0)
                add("tmpfs", place, .memory(size: spec.size), attributes)
            case .secret: try addSecret(spec, place, try secrets.value(for: spec), uid, gid)
            case .ssh:
                guard let source = try SSHSource.find(for: spec, in: agentSources), let place else {
                    notes.append("no --ssh \(spec.effectiveID): its mount is left out")
                    continue
                }
                let listener = OwnedDescriptorBox(try UnixSocket.make().release())
                // BuildKit names the first one.
                if agents.isEmpty { environment.set("SSH_AUTH_SOCK", place) }
                agents.append(Agent(source: source, listener: listener))
                let content = NamespacePlan.Content.socket(listener.raw, mode: spec.mode ?? 0o600, uid: spec.uid ?? uid, gid: spec.gid ?? gid)
                add("ssh agent '\(spec.effectiveID)'", place, content, Self.harmless | larder_attr_noexec, isFile: true)
            case .cache: continue
            }
        }
    }

    private mutating func add(_ name: String, _ place: String?, _ content: NamespacePlan.Content, _ attributes: Int, isFile: Bool = false) {
        guard let place else { return }
        plan.mounts.append(NamespacePlan.Mount(name: name, place: Array(place.utf8), content: content, attributes: attributes, isFile: isFile))
    }

    private mutating func addBind(_ spec: MountSpec, _ place: String, _ sources: SourceTable) throws(RunError) {
        let found = try sources.place(from: spec.from, source: spec.source)
        let name = "'\(found.path)' of \(spec.from.isEmpty ? "the current directory" : spec.from)"
        if spec.readOnly {
            return add(name, place, .bind(sources.source(found)), larder_attr_readonly, isFile: found.isFile)
        }
        guard found.isFile else { return add(name, place, .throwAway(sources.source(found), file: nil), 0) }
        var directory = found
        directory.path = GoText.clean(found.path + "/..")
        add(name, place, .throwAway(sources.source(directory), file: Array(GoText.base(found.path).utf8)), 0, isFile: true)
    }

    private mutating func addSecret(_ spec: MountSpec, _ place: String?, _ value: [UInt8]?, _ uid: UInt32, _ gid: UInt32) throws(RunError) {
        let id = spec.effectiveID
        guard let value else { return notes.append("no --secret id=\(id): its mount is left out") }
        if let variable = spec.env {
            guard !value.contains(0) else { throw .invalid("secret \(id): it holds a NUL byte, so it cannot be a variable") }
            environment.set(variable, value)
        }
        let mode = (spec.mode ?? 0o400) & 0o7777
        let content = NamespacePlan.Content.file(value, mode: mode, uid: spec.uid ?? uid, gid: spec.gid ?? gid)
        add("secret '\(id)'", place, content, Self.harmless | (mode & 0o111 == 0 ? larder_attr_noexec : 0), isFile: true)
    }

    /// Variables that send tools to the caches, files that they read, and empty files over what would empty the caches.
    private mutating func addPresets(_ mounts: RunMounts, _ setting: RunSetting) throws {
        let folder = "/tmp/larder-run.\(getpid())"
        for preset in mounts.presets {
            let target: (String) -> String? = { id in mounts.caches.first { $0.id == id }?.place }
            let current = environment.variables
            for (name, value) in preset.environment(over: current, target: target, file: { "\(folder)/\($0)" }) { environment.set(name, value) }
            for (name, content) in preset.files(over: current, target: target) {
                add("\(preset.name)'s settings", "\(folder)/\(name)", .file(Array(content.utf8), mode: 0o444, uid: geteuid(), gid: getegid()), Self.harmless, isFile: true)
            }
            for mask in preset.masks where Self.isFile(mask, in: setting.root) {
                add("an empty file", mask, .file([], mode: 0o444, uid: geteuid(), gid: getegid()), Self.harmless, isFile: true)
            }
        }
    }

    private static func isFile(_ path: String, in root: String?) -> Bool {
        guard let directory = try? OwnedDescriptor.open(root ?? "/", larder_o_path | O_DIRECTORY) else { return false }
        let raw = larder_open_in_root(directory.raw, path, larder_o_path)
        guard raw >= 0 else { return false }
        let file = OwnedDescriptor(owning: raw)
        var status = stat()
        return fstat(file.raw, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}
