// Decode and prefill with llama.cpp, each as a region that count.c counts.
//
//     llama MODEL.gguf PREFILL DECODE TOKEN...
//
// One thread.  Region 1: PREFILL tokens at once; region 2, after the TOKENs: DECODE times, the
// greedy choice is made, turned into text, and evaluated.  Both follow the same work done once, so
// what happens only the first time is in neither.  Prints the text, and how many tensors were
// repacked at load.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <sys/prctl.h>
#include <vector>

#include "llama.h"

static const int REGION = 0x45444745;

static std::map<std::string, int> repacked;

static void note(ggml_log_level level, const char * line, void *) {
    const std::string text(line), before = " with ";
    const size_t at = text.rfind(before);
    if (text.find("repack tensor") != std::string::npos && at != std::string::npos) {
        repacked[text.substr(at + before.size(), text.find('\n') - at - before.size())]++;
    } else if (level == GGML_LOG_LEVEL_ERROR) {
        std::fputs(line, stderr);
    }
}

static void evaluate(llama_context * context, std::vector<llama_token> tokens) {
    if (llama_decode(context, llama_batch_get_one(tokens.data(), (int) tokens.size()))) {
        std::fprintf(stderr, "llama_decode failed\n");
        std::exit(1);
    }
}

int main(int argc, char ** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "usage: llama MODEL.gguf PREFILL DECODE TOKEN...\n");
        return 2;
    }
    llama_log_set(note, nullptr);
    llama_model * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model) {
        return 1;
    }
    std::vector<llama_token> prompt;
    for (int i = 4; i < argc; i++) {
        prompt.push_back(std::atoi(argv[i]));
    }
    const int prefill = std::atoi(argv[2]), decode = std::atoi(argv[3]);
    llama_context_params settings = llama_context_default_params();
    settings.n_ctx = 512;
    settings.n_threads = settings.n_threads_batch = 1;
    llama_context * context = llama_init_from_model(model, settings);
    llama_sampler * greedy = llama_sampler_init_greedy();

    std::vector<llama_token> many;
    while ((int) many.size() < prefill) {
        many.push_back(prompt[many.size() % prompt.size()]);
    }
    evaluate(context, many);
    llama_memory_clear(llama_get_memory(context), true);
    prctl(REGION, 0, 0, 0, 0);
    evaluate(context, many);
    prctl(REGION, 1, 0, 0, 0);

    llama_memory_clear(llama_get_memory(context), true);
    evaluate(context, prompt);
    std::string text;
    for (int i = 0; i <= decode; i++) {
        if (i == 1) {
            prctl(REGION, 0, 0, 0, 0);
        }
        const llama_token token = llama_sampler_sample(greedy, context, -1);
        char piece[256];
        const int size = llama_token_to_piece(
            llama_model_get_vocab(model), token, piece, sizeof piece, 0, true);
        text.append(piece, size > 0 ? size : 0);
        evaluate(context, {token});
    }
    prctl(REGION, 2, 0, 0, 0);
    std::printf("%s\n", text.c_str());
    for (const auto & [kind, tensors] : repacked) {
        std::printf("%d tensors repacked as %s\n", tensors, kind.c_str());
    }
    llama_free(context);
    llama_model_free(model);
}
