import OCI
import Synchronization

/// One image in use by this process: what is fetched ahead for it, and what it is seen to read.
final class ImageUse: Sendable {
    /// After so long without a new touch nobody works with the image, and after so much time with work what was seen counts as
    /// the whole.
    static let quietLimit = Duration.seconds(30)
    static let recordingLimit = Duration.seconds(300)
    /// How often is looked.
    static let tick = Duration.seconds(5)

    struct Progress: Sendable {
        var wantedSpans = 0
        var wantedBytes: UInt64 = 0
        var broughtSpans = 0
        var isPrefetching = false
        /// What is fetched by the profile has come, or there was nothing.
        var isSettled = false
        var isRecording = false
    }

    let image: Image
    let tree: ContentTree
    private let recorder: Mutex<AccessRecorder?>
    private let state = Mutex(Progress())
    private let work = Mutex<Task<Void, Never>?>(nil)

    init(image: Image, tree: ContentTree, records: Bool) {
        self.image = image
        self.tree = tree
        let recorder = records ? AccessRecorder(tree.layers) : nil
        self.recorder = Mutex(recorder)
        if let recorder {
            state.withLock { $0.isRecording = true }
            tree.record(with: recorder)
        }
    }

    var progress: Progress { state.withLock { $0 } }

    func update(_ change: (inout Progress) -> Void) { state.withLock { change(&$0) } }

    /// Since when nothing new was read; nil where nobody listens.
    var quiet: Duration? { recorder.withLock { $0?.quiet } }

    /// Ends the recording. Returns what was recorded: to one caller alone.
    func stopRecording() -> AccessRecorder? {
        let ended = recorder.withLock { recorder -> AccessRecorder? in
            defer { recorder = nil }
            return recorder
        }
        if ended != nil {
            tree.record(with: nil)
            state.withLock { $0.isRecording = false }
        }
        return ended
    }

    func start(_ body: @escaping @Sendable () async -> Void) { work.withLock { $0 = Task { await body() } } }

    /// Ends what `start` began, and waits for that.
    func end() async {
        let task = work.withLock { $0 }
        task?.cancel()
        await task?.value
    }
}
